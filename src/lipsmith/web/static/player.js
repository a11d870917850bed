// Two films under one slider, in step, with the sounds to switch between.

import { $, chosen } from "./dom.js";

// Seconds that one film may be ahead: from CLOSE on the other is played faster or slower, which nobody sees, and from
// FAR on it jumps, which everybody does.
const CLOSE = 0.02;
const FAR = 0.3;
const [after, before] = [$("after"), $("before")];

export function showFilms(job) {
  const both = job.options.compare && !job.options.side_by_side;
  $("compare").classList.toggle("alone", !both);
  for (const id of ["cut-label", "sound-before"]) $(id).hidden = !both;
  document.querySelector('input[name="sound"][value="after"]').checked = true;
  after.src = `/v1/jobs/${job.id}/result`;
  if (both) before.src = `/v1/jobs/${job.id}/before`;
  else before.removeAttribute("src");
  sound();
}

export const stopFilms = () => after.pause();

function keepStep() {
  if (after.paused || !before.src) return;
  const behind = after.currentTime - before.currentTime;
  if (Math.abs(behind) > FAR && !before.seeking && !before.ended) before.currentTime = after.currentTime;
  before.playbackRate = after.playbackRate * (Math.abs(behind) > CLOSE ? 1 + Math.max(-0.6, Math.min(0.6, 2 * behind)) : 1);
  requestAnimationFrame(keepStep);
}

function paused() {
  before.pause();
  if (before.src) before.currentTime = after.currentTime;
}

function shown() {
  const whole = after.duration || 0;
  $("place").max = whole;
  $("place").value = after.currentTime;
  $("time").textContent = `${after.currentTime.toFixed(1)} of ${whole.toFixed(1)} s`;
}

function sound() {
  after.muted = chosen("sound") !== "after";
  before.muted = chosen("sound") !== "before";
}

function cut() {
  const share = $("cut").value;
  $("compare").style.setProperty("--cut", `${share}%`);
  $("cut").setAttribute("aria-valuetext", `${share} % as it was`);
}

function toggle() {
  if (!after.paused) {
    after.pause();
    return;
  }
  after.play();
  if (before.src) before.play();
}

export function startPlayer() {
  $("cut").addEventListener("input", cut);
  $("play").addEventListener("click", toggle);
  $("place").addEventListener("input", () => {
    after.currentTime = Number($("place").value);
    if (before.src) before.currentTime = after.currentTime;
  });
  for (const radio of document.querySelectorAll('input[name="sound"]')) radio.addEventListener("change", sound);
  for (const kind of ["play", "pause"]) {
    after.addEventListener(kind, () => ($("play").textContent = after.paused ? "Play" : "Pause"));
  }
  for (const kind of ["timeupdate", "loadedmetadata", "seeked"]) after.addEventListener(kind, shown);
  after.addEventListener("play", keepStep);
  after.addEventListener("pause", paused);
  pointer();
}

// The picture itself can be dragged over, which is what hands expect; the slider below it is for keys.
function pointer() {
  const area = $("compare");
  const move = (event) => {
    const box = area.getBoundingClientRect();
    $("cut").value = Math.round((100 * (event.clientX - box.left)) / box.width);
    cut();
  };
  area.addEventListener("pointerdown", (event) => {
    area.setPointerCapture(event.pointerId);
    move(event);
  });
  area.addEventListener("pointermove", (event) => {
    if (area.hasPointerCapture(event.pointerId)) move(event);
  });
}
