// Helpers for all scripts: elements, messages, formatting.

export const $ = (id) => document.getElementById(id);
export const selectedValue = (name) => document.querySelector(`input[name="${name}"]:checked`).value;

// Null if the browser blocks cookies, without which the service takes each request for one of another client.
export const storage = (() => {
  try {
    return localStorage;
  } catch {
    return null;
  }
})();

export function showText(id, text) {
  $(id).removeAttribute("aria-live");
  $(id).textContent = text;
}

// Screen readers are not to say every percentage.
export function showProgress(id, text) {
  $(id).setAttribute("aria-live", "off");
  $(id).textContent = text;
}

export function showError(id, error) {
  if (error?.name === "AbortError") return;
  $(id).textContent = error ? error.message : "";
  $(id).hidden = !error;
}

export function formatSeconds(value) {
  if (value < 59.95) return `${value.toFixed(1)} s`;
  const whole = Math.round(value);
  return `${Math.floor(whole / 60)} min ${whole % 60} s`;
}

export function formatSize(bytes) {
  return bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}
