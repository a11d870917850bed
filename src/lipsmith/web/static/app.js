// The page from top to bottom: film, speech, options, work, result.

import { Problem, ask, looked, pause, watch } from "./api.js";
import { $, complain, seconds, size, tell } from "./dom.js";
import { face, film, onFilm, startFilm, stretch, useFilm } from "./film.js";
import { showHistory } from "./history.js";
import { lacksMusic, options, startOptions } from "./options.js";
import { showFilms, startPlayer, stopFilms } from "./player.js";
import { source } from "./source.js";

const PREVIEW = 3;
let speech = null;
let current = null;
let events = null;

function possible() {
  const missing = [];
  if (!film.id) missing.push("a film or a picture");
  if (!speech) missing.push("a speech");
  if (lacksMusic()) missing.push("the music, or none");
  if (!$("consent").checked) missing.push("the consent of those who are seen");
  for (const id of ["preview", "dub"]) $(id).disabled = missing.length > 0;
  tell("missing", missing.length ? `Still needed: ${missing.join(", ")}.` : "");
}

function wanted(preview) {
  return {
    video: film.id,
    speech,
    face: face(),
    ...stretch(),
    ...options(),
    preview,
    compare: true,
  };
}

async function begin(preview) {
  complain("options-problem", null);
  try {
    const body = JSON.stringify(wanted(preview));
    const headers = { "Content-Type": "application/json" };
    const { body: job } = await ask("/v1/jobs", { method: "POST", body, headers });
    open(job);
    showHistory(open);
  } catch (error) {
    complain("options-problem", error);
  }
}

function open(job) {
  events?.close();
  stopFilms();
  complain("result-problem", null);
  complain("options-problem", null);
  current = job;
  $("result").hidden = true;
  events = watch(job.id, follow);
  follow(job);
  $("work").scrollIntoView({ block: "nearest" });
}

function follow(job) {
  current = job;
  const active = ["queued", "running"].includes(job.state);
  $("work").hidden = !active;
  if (active) atWork(job);
  else ended(job);
}

function atWork(job) {
  for (const item of $("stages").children) {
    if (item.dataset.stage === job.stage) item.setAttribute("aria-current", "step");
    else item.removeAttribute("aria-current");
  }
  $("progress").value = job.progress;
  if (job.state === "queued") tell("work-status", job.ahead ? `${job.ahead} before this one.` : "Next in line.");
  else tell("work-status", job.eta === null ? "" : `${Math.round(100 * job.progress)} %, about ${seconds(job.eta)} left.`);
}

function ended(job) {
  if (job.state === "failed") complain("options-problem", new Problem(job.problem));
  if (job.state === "done") {
    $("result").hidden = false;
    $("whole").hidden = !job.options.preview || job.video !== film.id;
    $("side").hidden = job.options.side_by_side || !job.options.compare;
    $("download").href = `/v1/jobs/${job.id}/result`;
    const figures = job.figures;
    tell("figures", `${seconds(figures.seconds)}, ${figures.width} x ${figures.height}, ${size(figures.bytes)}.`);
    showFilms(job);
    $("result").scrollIntoView({ block: "nearest" });
  }
  showHistory(open);
}

async function cancel() {
  try {
    follow((await ask(`/v1/jobs/${current.id}`, { method: "DELETE" })).body);
  } catch (error) {
    complain("options-problem", error);
  }
}

async function sideBySide() {
  const [address, words] = [`/v1/jobs/${current.id}/side-by-side`, $("side").textContent];
  $("side").disabled = true;
  $("side").textContent = "Making it";
  try {
    while ((await ask(address, { method: "POST" })).body.state === "waiting") await pause(300);
    const link = document.createElement("a");
    link.href = address;
    link.download = "";
    link.click();
  } catch (error) {
    complain("result-problem", error);
  }
  $("side").disabled = false;
  $("side").textContent = words;
}

async function again() {
  if (film.id !== current.video) {
    try {
      useFilm(await looked(current.video, new AbortController().signal));
      tell("film-status", "The film of that dub is used again.");
    } catch (error) {
      complain("result-problem", error);
      return;
    }
  }
  speech = null;
  $("speech-audio").hidden = true;
  tell("speech-status", "");
  possible();
  $("speech").scrollIntoView();
  $("speech-file").focus();
}

function listen(file) {
  speech = null;
  const audio = $("speech-audio");
  if (audio.src) URL.revokeObjectURL(audio.src);
  audio.src = URL.createObjectURL(file);
  audio.hidden = false;
  possible();
}

function theme() {
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : dark);
  if (localStorage.theme) root.dataset.theme = localStorage.theme;
  const shown = () => $("theme").setAttribute("aria-pressed", isDark());
  $("theme").addEventListener("click", () => {
    localStorage.theme = root.dataset.theme = isDark() ? "light" : "dark";
    shown();
  });
  shown();
}

theme();
startFilm();
startPlayer();
startOptions(possible);
onFilm(possible);
source("speech", {
  chosenFile: listen,
  ready: (found) => {
    if (!found.sound) {
      complain("speech-problem", new Problem("This has no sound; choose a recording with speech."));
      return;
    }
    speech = found.id;
    possible();
  },
  constraints: { audio: true },
});
$("consent").addEventListener("change", possible);
$("preview").addEventListener("click", () => begin(PREVIEW));
for (const id of ["dub", "whole"]) $(id).addEventListener("click", () => begin(null));
$("cancel").addEventListener("click", cancel);
$("side").addEventListener("click", sideBySide);
$("again").addEventListener("click", again);
possible();
showHistory(open);
