// Speeches of additional faces.

import { $ } from "./dom.js";
import { facesFound, onFilm, selectedFaceNumbers } from "./film.js";
import { source } from "./source.js";

const others = new Map(); // face number to upload id
let input = null;

// Fields of a job: one speech for the selected faces, or a speech for each face.
export function speechRequest(speech) {
  if (!others.size) return { speech, speeches: {} };
  const own = selectedFaceNumbers().filter((number) => !others.has(number));
  return { speech: null, speeches: Object.fromEntries([...own.map((number) => [number, speech]), ...others]) };
}

function showOthers() {
  const items = [...others.keys()].map((number) => {
    const item = $("other-template").content.firstElementChild.cloneNode(true);
    const [label, button] = item.children;
    label.textContent = `Face ${number} has its own speech.`;
    button.setAttribute("aria-label", `Remove the speech of face ${number}`);
    button.addEventListener("click", () => {
      others.delete(number);
      showOthers();
      $("other-file").focus();
    });
    return item;
  });
  $("other-list").replaceChildren(...items);
}

function showFaces() {
  const numbers = [...new Set(facesFound().map((face) => face.number))];
  for (const number of others.keys()) if (!numbers.includes(number)) others.delete(number);
  $("others").hidden = numbers.length < 2;
  $("other-face").replaceChildren(...numbers.map((number) => new Option(number, number)));
  input.use(null);
  showOthers();
}

export function startSpeeches() {
  let face = null;
  onFilm(showFaces);
  input = source("other", {
    needs: "sound",
    more: () => [...others.values()],
    onFile: () => (face = Number($("other-face").value)),
    onReady: (found) => {
      others.set(face, found.id);
      showOthers();
    },
  });
}
