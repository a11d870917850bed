// The main page: film, speech, options, progress, result.

import { Problem, SILENCE, isActive, request, sleep, watchJob } from "./api.js";
import { $, showError, formatSeconds, formatSize, showProgress, showText, storage } from "./dom.js";
import { selectedFaces, film, onFilm, reuseFilm, startFilm, selectedRange } from "./film.js";
import { showHistory } from "./history.js";
import { isMusicMissing, options, startOptions } from "./options.js";
import { showFilms, startPlayer, stopFilms } from "./player.js";
import { source } from "./source.js";
import { missingSpeeches, speechRequest, startSpeeches } from "./speeches.js";

const PREVIEW = 3;
const NO_SPEECH = "No speech was detected, so the lips stay closed; choose a recording with speech.";
const updateHistory = () => showHistory(openEarlier, closeJob);
let speech = null;
let current = null;
let lastOpening = 0;
let stopWatching = () => {};
let requested = null; // the body of the request for a dub that has not ended

function updateButtons() {
  const missing = [];
  if (!film.id) missing.push("a film or picture");
  if (!speech) missing.push("a speech");
  for (const face of missingSpeeches()) missing.push(`the speech of face ${face} (upload or remove it)`);
  if (isMusicMissing()) missing.push("music (upload or remove it)");
  if (!selectedFaces()) missing.push("a face");
  if (!$("consent").checked) missing.push("the consent of the people in the film");
  for (const id of ["preview", "dub", "whole"]) $(id).disabled = missing.length > 0;
  $("whole").hidden = !current?.options.preview || current.video !== film.id;
  showText("missing", missing.length ? `Still needed: ${missing.join(", ")}.` : "");
}

function jobRequest(preview) {
  return {
    video: film.id,
    ...speechRequest(speech),
    face: selectedFaces(),
    ...selectedRange(),
    ...options(),
    preview,
    compare: true,
  };
}

async function startJob(preview) {
  showError("options-problem", null);
  try {
    const body = JSON.stringify(jobRequest(preview));
    if (body === requested) return; // a double click
    requested = body;
    const headers = { "Content-Type": "application/json" };
    const { body: job } = await request("/v1/jobs", { method: "POST", body, headers });
    openJob(job);
    requested = body;
    updateHistory();
  } catch (error) {
    requested = null;
    showError("options-problem", error);
    updateHistory(); // the answer may be lost, but not the dub
  }
}

// Opens an earlier job, unless another one is opened before the answer arrives.
async function openEarlier(id) {
  lastOpening += 1;
  const number = lastOpening;
  const { body: job } = await request(`/v1/jobs/${id}`);
  if (number === lastOpening) openJob(job);
}

function openJob(job) {
  lastOpening += 1;
  stopWatching();
  stopFilms();
  showError("result-problem", null);
  showError("options-problem", null);
  requested = null;
  current = job;
  $("result").hidden = true;
  stopWatching = watchJob(job.id, showJob, () => showText("work-status", SILENCE), showLoss);
  showText("ended", "");
  showJob(job);
  focusJob(job);
  $("work").scrollIntoView({ block: "nearest" });
}

// Moves the focus to the heading of what a job shows; what had it may be hidden.
function focusJob(job) {
  const title = isActive(job) ? "work-title" : job.state === "done" ? "result-title" : "options-title";
  $(title).focus({ preventScroll: true });
}

// The films of a removed job are gone.
function closeJob(job) {
  if (current?.id !== job.id) return;
  stopFilms();
  $("result").hidden = true;
}

// An answer or an event may arrive after the state that ended the job, or after another job was opened.
function showJob(job) {
  if (job.id !== current.id || (job !== current && !isActive(current))) return;
  const hasFocus = $("work").contains(document.activeElement);
  current = job;
  $("work").hidden = !isActive(job);
  if (isActive(job)) showStage(job);
  else showResult(job);
  if (hasFocus && !isActive(job)) focusJob(job);
}

// The job has expired, or another tab removed it.
function showLoss(problem) {
  requested = null;
  if ($("work").contains(document.activeElement)) $("options-title").focus({ preventScroll: true });
  $("work").hidden = true;
  showError("options-problem", problem);
  updateHistory();
}

function showStage(job) {
  for (const item of $("stages").children) {
    if (item.dataset.stage === job.stage) item.setAttribute("aria-current", "step");
    else item.removeAttribute("aria-current");
  }
  $("progress").value = job.progress;
  if (job.state === "queued") showText("work-status", job.ahead ? `Jobs ahead: ${job.ahead}` : "Next in the queue");
  else showProgress("work-status", job.eta === null ? "" : `${Math.round(100 * job.progress)} %, about ${formatSeconds(job.eta)} left.`);
}

function showResult(job) {
  requested = null;
  if (job.state === "failed") showError("options-problem", new Problem(job.problem));
  if (job.state === "cancelled") showError("options-problem", new Problem("The dub was canceled."));
  if (job.state === "done") {
    showText("ended", "The dub is done.");
    updateButtons();
    showError("options-problem", null);
    $("result").hidden = false;
    $("side").hidden = job.options.side_by_side || !job.options.compare;
    $("download").href = `/v1/jobs/${job.id}/result`;
    const figures = job.figures;
    showText("figures", `${formatSeconds(figures.seconds)}, ${figures.width} x ${figures.height}, ${formatSize(figures.bytes)}.`);
    if (figures.speech === false) showError("result-problem", new Problem(NO_SPEECH));
    showFilms(job);
    $("result").scrollIntoView({ block: "nearest" });
  }
  updateHistory();
}

async function cancelJob() {
  try {
    showJob((await request(`/v1/jobs/${current.id}`, { method: "DELETE" })).body);
  } catch (error) {
    if (error.status !== 409) showError("options-problem", error); // it has ended, and its last event says how
  }
}

async function downloadSideBySide() {
  if ($("side").ariaDisabled) return;
  const [job, label] = [current.id, $("side").textContent];
  const url = `/v1/jobs/${job}/side-by-side`;
  $("side").ariaDisabled = true; // a disabled button loses the focus
  $("side").textContent = "Creating the film";
  try {
    while ((await request(url, { method: "POST" })).body.state === "waiting") await sleep(300);
    const link = document.createElement("a");
    link.href = url;
    link.download = "";
    link.click();
  } catch (error) {
    if (current.id === job) showError("result-problem", error);
  }
  $("side").ariaDisabled = null;
  $("side").textContent = label;
}

async function dubAnother() {
  try {
    if (film.id !== current.video) await reuseFilm(current.video);
  } catch (error) {
    showError("result-problem", error);
    return;
  }
  useSpeech(null);
  clearSpeech();
  $("speech").scrollIntoView();
  $("speech-file").focus();
}

function clearSpeech() {
  speech = null;
  const audio = $("speech-audio");
  if (audio.src) URL.revokeObjectURL(audio.src);
  audio.removeAttribute("src");
  audio.hidden = true;
  updateButtons();
}

function showSpeech(file) {
  clearSpeech();
  const audio = $("speech-audio");
  audio.src = URL.createObjectURL(file);
  audio.onerror = () => (audio.hidden = true); // a speech that the browser cannot play can still be dubbed
  audio.hidden = false;
}

// After a reload, the page shows the dub that is in progress.
async function resume() {
  const active = (await updateHistory()).find(isActive);
  if (active && !current) openJob(active);
}

function startTheme() {
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  const showState = () => $("theme").setAttribute("aria-pressed", isDark());
  $("theme").addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    if (storage) storage.theme = root.dataset.theme;
    showState();
  });
  system.addEventListener("change", showState);
  showState();
}

// A browser that returns to the page would restore even the consent, which was given for another film, and it knows
// controls by their order, which depends on the number of faces.
for (const input of document.querySelectorAll("input")) input.autocomplete = "off";

startTheme();
startFilm();
startPlayer();
startOptions(updateButtons);
startSpeeches(updateButtons);
onFilm(updateButtons);
const { use: useSpeech } = source("speech", {
  needs: "sound",
  onFile: showSpeech,
  onReady: (found) => {
    speech = found.id;
    updateButtons();
  },
  onRemove: clearSpeech,
  constraints: { audio: true },
});
for (const id of ["who", "consent"]) $(id).addEventListener("change", updateButtons);
$("preview").addEventListener("click", () => startJob(PREVIEW));
for (const id of ["dub", "whole"]) $(id).addEventListener("click", () => startJob(null));
$("cancel").addEventListener("click", cancelJob);
$("side").addEventListener("click", downloadSideBySide);
$("again").addEventListener("click", dubAnother);
updateButtons();
resume();
