for (const reason of ["wrong", "wait"]) document.getElementById(reason).hidden = location.search !== `?${reason}`;
