// Compares two synchronized films with a slider; the sound can be switched.

import { $, selectedValue } from "./dom.js";

// Seconds of drift above which the original plays faster or slower (unnoticeable), or seeks (visible).
const SPEED_THRESHOLD = 0.02;
const SEEK_THRESHOLD = 0.3;
const [after, before] = [$("after"), $("before")];

export function showFilms(job) {
  const both = job.options.compare && !job.options.side_by_side;
  $("compare").classList.toggle("alone", !both);
  for (const id of ["cut-label", "sound-before"]) $(id).hidden = !both;
  document.querySelector('input[name="sound"][value="after"]').checked = true;
  after.src = `/v1/jobs/${job.id}/result`;
  if (both) before.src = `/v1/jobs/${job.id}/before`;
  else before.removeAttribute("src");
  updateSound();
}

export const stopFilms = () => after.pause();

function synchronize() {
  if (after.paused || !before.src) return;
  const lag = after.currentTime - before.currentTime;
  if (Math.abs(lag) > SEEK_THRESHOLD && !before.seeking && !before.ended) before.currentTime = after.currentTime;
  before.playbackRate = after.playbackRate * (Math.abs(lag) > SPEED_THRESHOLD ? 1 + Math.max(-0.6, Math.min(0.6, 2 * lag)) : 1);
  requestAnimationFrame(synchronize);
}

function onPause() {
  before.pause();
  if (before.src) before.currentTime = after.currentTime;
}

function showPosition() {
  const duration = after.duration || 0;
  $("place").max = duration;
  $("place").value = after.currentTime;
  const time = `${after.currentTime.toFixed(1)} of ${duration.toFixed(1)} s`;
  $("time").textContent = time;
  $("place").setAttribute("aria-valuetext", time);
}

function updateSound() {
  after.muted = selectedValue("sound") !== "after";
  before.muted = selectedValue("sound") !== "before";
}

function updateCut() {
  const percent = $("cut").value;
  $("compare").style.setProperty("--cut", `${percent}%`);
  $("cut").setAttribute("aria-valuetext", `${percent} % original`);
}

function togglePlay() {
  if (!after.paused) {
    after.pause();
    return;
  }
  after.play();
  if (before.src) before.play();
}

export function startPlayer() {
  $("cut").addEventListener("input", updateCut);
  $("play").addEventListener("click", togglePlay);
  $("place").addEventListener("input", () => {
    after.currentTime = Number($("place").value);
    if (before.src) before.currentTime = after.currentTime;
  });
  for (const radio of document.querySelectorAll('input[name="sound"]')) radio.addEventListener("change", updateSound);
  for (const kind of ["play", "pause"]) {
    after.addEventListener(kind, () => ($("play").textContent = after.paused ? "Play" : "Pause"));
  }
  for (const kind of ["timeupdate", "loadedmetadata", "seeked"]) after.addEventListener(kind, showPosition);
  after.addEventListener("play", synchronize);
  after.addEventListener("pause", onPause);
  enableDragging();
}

// Dragging over the picture moves the slider, too; the slider itself is for the keyboard.
function enableDragging() {
  const area = $("compare");
  const moveCut = (event) => {
    const bounds = area.getBoundingClientRect();
    $("cut").value = Math.round((100 * (event.clientX - bounds.left)) / bounds.width);
    updateCut();
  };
  area.addEventListener("pointerdown", (event) => {
    area.setPointerCapture(event.pointerId);
    moveCut(event);
  });
  area.addEventListener("pointermove", (event) => {
    if (area.hasPointerCapture(event.pointerId)) moveCut(event);
  });
}
