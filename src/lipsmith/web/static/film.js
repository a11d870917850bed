// The film: its own picture, the part of it that is used, and who speaks.

import { faces } from "./api.js";
import { $, chosen, complain, seconds, tell } from "./dom.js";
import { source } from "./source.js";

export const film = { id: null, seconds: null };

const listeners = [];
export const onFilm = (listener) => listeners.push(listener);
const changed = () => listeners.forEach((listener) => listener());

let searching = new AbortController();
let timer = 0;

export function stretch() {
  if (!film.seconds) return { start: null, end: null };
  const [start, end] = [Number($("start").value), Number($("end").value)];
  return { start: start > 0 ? start : null, end: end < Number($("end").max) ? end : null };
}

export function face() {
  if (chosen("who") !== "chosen") return chosen("who");
  return [...document.querySelectorAll("#faces input:checked")].map((box) => box.value).join(",") || "largest";
}

export function useFilm(found, told = true) {
  film.id = found.id;
  film.seconds = found.kind === "film" ? found.seconds : null;
  $("film-found").hidden = false;
  $("trim").hidden = !film.seconds;
  if (film.seconds) {
    const last = Math.ceil(film.seconds * 10) / 10;
    for (const id of ["start", "end"]) $(id).max = last;
    $("start").value = 0;
    $("end").value = last;
    showStretch();
  }
  changed();
  if (told) search();
}

function show(file) {
  film.id = null;
  searching.abort();
  clearTimeout(timer);
  $("film-found").hidden = true;
  $("faces").replaceChildren();
  tell("faces-status", "");
  const picture = file.type.startsWith("image/");
  for (const id of ["film-video", "film-picture"]) {
    if ($(id).src) URL.revokeObjectURL($(id).src);
    $(id).removeAttribute("src");
    $(id).hidden = true;
  }
  const shown = picture ? $("film-picture") : $("film-video");
  shown.src = URL.createObjectURL(file);
  // Films that this browser cannot play can be dubbed all the same.
  shown.onerror = () => (shown.hidden = true);
  shown.hidden = false;
  changed();
}

function showStretch() {
  tell("start-shown", seconds(Number($("start").value)));
  tell("end-shown", seconds(Number($("end").value)));
}

function trimmed(event) {
  const [start, end] = [Number($("start").value), Number($("end").value)];
  if (end - start < 0.2) {
    if (event.target.id === "start") $("start").value = Math.max(0, end - 0.2);
    else $("end").value = start + 0.2;
  }
  showStretch();
  if (!$("film-video").hidden) $("film-video").currentTime = Number(event.target.value);
  clearTimeout(timer);
  timer = setTimeout(search, 600);
}

async function search() {
  searching.abort();
  searching = new AbortController();
  const { signal } = searching;
  $("faces").replaceChildren();
  complain("film-problem", null);
  tell("faces-status", "Looking for faces");
  try {
    const told = (share) => tell("faces-status", `Looking for faces: ${Math.round(100 * share)} %`);
    const found = await faces(film.id, stretch(), told, signal);
    tell("faces-status", found.length === 1 ? "One face was found." : `${found.length} faces were found, shot by shot.`);
    $("faces").replaceChildren(...found.map(card));
  } catch (error) {
    if (error.name !== "AbortError") tell("faces-status", "");
    complain("film-problem", error);
  }
}

function card(found) {
  const label = $("face-template").content.firstElementChild.cloneNode(true);
  const [box, picture, words] = label.children;
  box.value = found.number;
  box.addEventListener("change", () => {
    // A person who was recognized has a card for every shot.
    for (const same of document.querySelectorAll(`#faces input[value="${box.value}"]`)) same.checked = box.checked;
    document.querySelector('input[name="who"][value="chosen"]').checked = true;
  });
  if (found.thumbnail) picture.src = found.thumbnail;
  const when = film.seconds ? `, ${found.start.toFixed(1)} to ${found.end.toFixed(1)} s` : "";
  words.textContent = `Face ${found.number}${when}`;
  return label;
}

export function startFilm() {
  source("film", { chosenFile: show, ready: (found) => useFilm(found), constraints: { video: true, audio: true } });
  for (const id of ["start", "end"]) $(id).addEventListener("input", trimmed);
}
