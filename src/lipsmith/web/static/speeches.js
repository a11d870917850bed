// Speeches of additional faces.

import { Problem } from "./api.js";
import { $, showError, showText } from "./dom.js";
import { facesFound, film, onFilm, selectedFaceNumbers } from "./film.js";
import { source } from "./source.js";

const OTHER_PART = "In another part of the film, faces may have other numbers; choose the speeches of other faces again.";

// Face number to { face, id, sending } of its speech; without an id while it is being sent, which `sending` aborts.
const others = new Map();
let input = null;
let onChange = () => {};

// The numbers of the faces whose speeches are still being sent; a dub would lack them.
export const missingSpeeches = () => [...others.values()].filter(({ id }) => !id).map(({ face }) => face);

// Fields of a job: one speech for the selected faces, or a speech for each face.
export function speechRequest(speech) {
  if (!others.size) return { speech, speeches: {} };
  const own = selectedFaceNumbers().filter((number) => !others.has(number));
  const entries = [...own.map((number) => [number, speech]), ...[...others.values()].map(({ face, id }) => [face, id])];
  return { speech: null, speeches: Object.fromEntries(entries) };
}

function forget(face) {
  others.get(face)?.sending.abort();
  others.delete(face);
}

function showOthers() {
  const focused = document.activeElement.closest("#other-list button")?.ariaLabel;
  const items = [...others.values()].map(({ face, id }) => {
    const item = $("other-template").content.firstElementChild.cloneNode(true);
    const [label, button] = item.children;
    label.textContent = id ? `Face ${face} has its own speech.` : `The speech of face ${face} is being sent.`;
    button.setAttribute("aria-label", `Remove the speech of face ${face}`);
    button.addEventListener("click", () => {
      forget(face);
      showText("other-status", "");
      showOthers();
      $("other-file").focus();
    });
    return item;
  });
  $("other-list").replaceChildren(...items);
  if (focused) $("other-list").querySelector(`[aria-label="${focused}"]`)?.focus();
  onChange();
}

// Forgets all speeches as soon as the faces are not known any more.
function showFaces() {
  const numbers = [...new Set(facesFound().map((face) => face.number))];
  if (!film.id) showError("others-problem", null);
  else if (others.size) showError("others-problem", new Problem(OTHER_PART));
  for (const face of others.keys()) forget(face);
  $("others").hidden = numbers.length < 2;
  $("other-face").replaceChildren(...numbers.map((number) => new Option(number, number)));
  input.use(null);
  showOthers();
}

export function startSpeeches(listener) {
  onChange = listener;
  onFilm(showFaces);
  input = source("other", {
    needs: "sound",
    more: () => [...others.values()].map(({ id }) => id),
    onFile: (file, sending) => {
      const chosen = { face: Number($("other-face").value), id: null, sending };
      showError("others-problem", null);
      forget(chosen.face);
      others.set(chosen.face, chosen);
      showOthers();
      return chosen;
    },
    onReady: (found, chosen) => {
      chosen.id = found.id;
      showOthers();
    },
    onFailure: (chosen) => {
      if (others.get(chosen.face) === chosen) others.delete(chosen.face);
      showOthers();
    },
  });
}
