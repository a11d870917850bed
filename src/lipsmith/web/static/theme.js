// Applies the chosen theme to any page before it is drawn. This is no module, because modules wait for the whole page.
try {
  if (localStorage.theme) document.documentElement.dataset.theme = localStorage.theme;
} catch {} // a browser may refuse to store anything
