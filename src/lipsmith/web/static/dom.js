// What every part of the page needs: elements, sentences, amounts in words.

export const $ = (id) => document.getElementById(id);
export const chosen = (name) => document.querySelector(`input[name="${name}"]:checked`).value;

export function tell(id, sentence) {
  $(id).textContent = sentence;
}

export function complain(id, error) {
  if (error?.name === "AbortError") return;
  $(id).textContent = error ? error.message : "";
  $(id).hidden = !error;
}

export function seconds(value) {
  if (value < 60) return `${value.toFixed(1)} s`;
  return `${Math.floor(value / 60)} min ${Math.round(value % 60)} s`;
}

export function size(bytes) {
  return bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}
