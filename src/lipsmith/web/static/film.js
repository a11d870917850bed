// The film: its preview, the selected part and the selected faces.

import { waitForFaces, waitForProbe } from "./api.js";
import { $, selectedValue, showError, formatSeconds, showProgress, showText } from "./dom.js";
import { source } from "./source.js";

export const film = { id: null, seconds: null };

const listeners = [];
export const onFilm = (listener) => listeners.push(listener);
const notifyListeners = () => listeners.forEach((listener) => listener());

let controller = new AbortController();
let timer = 0;
let input = null;

export function selectedRange() {
  if (!film.seconds) return { start: null, end: null };
  const [start, end] = [Number($("start").value), Number($("end").value)];
  return { start: start > 0 ? start : null, end: end < Number($("end").max) ? end : null };
}

// Empty if faces are to be selected and none is.
export function selectedFaces() {
  if (selectedValue("who") !== "chosen") return selectedValue("who");
  return [...document.querySelectorAll("#faces input:checked")].map((checkbox) => checkbox.value).join(",");
}

let faces = [];
export const facesFound = () => faces;

// The numbers that `selectedFaces` stands for.
export function selectedFaceNumbers() {
  const best = (measure) => faces.reduce((one, other) => (measure(other) > measure(one) ? other : one)).number;
  switch (selectedFaces()) {
    case "largest":
      return [best((face) => face.width)];
    case "left":
      return [best((face) => -face.x)];
    case "right":
      return [best((face) => face.x)];
    case "all":
      return [...new Set(faces.map((face) => face.number))];
    default:
      return selectedFaces().split(",").map(Number);
  }
}

function useFilm(found) {
  film.id = found.id;
  film.seconds = found.kind === "film" ? found.seconds : null;
  $("film-found").hidden = false;
  $("trim").hidden = !film.seconds;
  if (film.seconds) {
    const last = Math.ceil(film.seconds * 10) / 10;
    for (const id of ["start", "end"]) $(id).max = last;
    $("start").value = 0;
    $("end").value = last;
    showRange();
  }
  notifyListeners();
  findFaces();
}

// Uses the film of an earlier job, of which this page has no preview. An `AbortError` if another is chosen meanwhile.
export async function reuseFilm(id) {
  const found = await waitForProbe(id, (silence) => showText("film-status", silence), input.signal());
  input.use(id);
  clearFilm();
  useFilm(found);
  showText("film-status", "Using the film of that dub.");
}

function hidePreviews() {
  for (const id of ["film-video", "film-picture"]) {
    if ($(id).src) URL.revokeObjectURL($(id).src);
    $(id).removeAttribute("src");
    $(id).hidden = true;
  }
}

function clearFilm() {
  if (film.id) $("consent").checked = false; // given by the people in that film
  film.id = null;
  controller.abort();
  clearTimeout(timer);
  $("film-found").hidden = true;
  faces = [];
  $("faces").replaceChildren();
  showText("faces-status", "");
  hidePreviews();
  notifyListeners();
}

function showFile(file) {
  clearFilm();
  const picture = file.type.startsWith("image/");
  const preview = picture ? $("film-picture") : $("film-video");
  preview.src = URL.createObjectURL(file);
  // A film that the browser cannot play can still be dubbed.
  preview.onerror = () => (preview.hidden = true);
  preview.hidden = false;
}

function showRange() {
  showText("start-shown", formatSeconds(Number($("start").value)));
  showText("end-shown", formatSeconds(Number($("end").value)));
}

function onTrim(event) {
  const [start, end] = [Number($("start").value), Number($("end").value)];
  if (end - start < 0.2) {
    if (event.target.id === "start") $("start").value = Math.max(0, end - 0.2);
    else $("end").value = start + 0.2;
  }
  showRange();
  if (!$("film-video").hidden) $("film-video").currentTime = Number(event.target.value);
  forgetFaces(); // in another part, their numbers may be those of other people
  clearTimeout(timer);
  timer = setTimeout(findFaces, 600);
}

function showFaces(found) {
  faces = found;
  $("faces").replaceChildren(...found.map(faceCard));
  notifyListeners();
}

function forgetFaces() {
  controller.abort();
  showFaces([]);
}

async function findFaces() {
  forgetFaces();
  controller = new AbortController();
  const { signal } = controller;
  showError("film-problem", null);
  showText("faces-status", "Detecting faces");
  try {
    const onProgress = (fraction) => showProgress("faces-status", `Detecting faces: ${Math.round(100 * fraction)} %`);
    const onSilence = (silence) => showText("faces-status", silence);
    const found = await waitForFaces(film.id, selectedRange(), onProgress, onSilence, signal);
    showText("faces-status", found.length === 1 ? "Found one face." : `Found ${found.length} faces, listed by shot.`);
    showFaces(found);
  } catch (error) {
    if (error.name !== "AbortError") showText("faces-status", "");
    showError("film-problem", error);
  }
}

function faceCard(found) {
  const label = $("face-template").content.firstElementChild.cloneNode(true);
  const [checkbox, picture, caption] = label.children;
  checkbox.value = found.number;
  checkbox.addEventListener("change", () => {
    // A recognized person has one card per shot.
    for (const same of document.querySelectorAll(`#faces input[value="${checkbox.value}"]`)) same.checked = checkbox.checked;
    document.querySelector('input[name="who"][value="chosen"]').checked = true;
  });
  if (found.thumbnail) picture.src = found.thumbnail;
  const when = film.seconds ? `, ${found.start.toFixed(1)} to ${found.end.toFixed(1)} s` : "";
  caption.textContent = `Face ${found.number}${when}`;
  return label;
}

export function startFilm() {
  input = source("film", {
    needs: "picture",
    onFile: showFile,
    onReady: useFilm,
    onRemove: clearFilm,
    constraints: { video: true, audio: true },
  });
  for (const id of ["start", "end"]) $(id).addEventListener("input", onTrim);
}
