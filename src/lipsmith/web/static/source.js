// A file that is chosen, dropped or recorded, sent, and looked at.

import { looked, upload } from "./api.js";
import { $, complain, seconds, size, tell } from "./dom.js";

export function source(name, { chosenFile, ready, constraints }) {
  let current = new AbortController();

  async function take(file) {
    current.abort();
    current = new AbortController();
    const { signal } = current;
    complain(`${name}-problem`, null);
    chosenFile(file);
    try {
      const sent = await upload(file, (share) => tell(`${name}-status`, `Sending: ${Math.round(100 * share)} %`), signal);
      tell(`${name}-status`, "Looking at it");
      const found = await looked(sent.id, signal);
      tell(`${name}-status`, described(found));
      ready(found, signal);
    } catch (error) {
      if (error.name !== "AbortError") tell(`${name}-status`, "");
      complain(`${name}-problem`, error);
    }
  }

  $(`${name}-file`).addEventListener("change", (event) => {
    if (event.target.files[0]) take(event.target.files[0]);
    event.target.value = "";
  });
  droppable($(`${name}-drop`), take);
  if (constraints) recordable($(`${name}-record`), name, constraints, take);
  const stop = () => {
    current.abort();
    complain(`${name}-problem`, null);
    tell(`${name}-status`, "");
  };
  return { stop };
}

function described(found) {
  const parts = [found.kind];
  if (found.seconds) parts.push(seconds(found.seconds));
  if (found.width) parts.push(`${found.width} x ${found.height}`);
  if (found.kind === "film") parts.push(`${Number(found.rate.toFixed(2))} frames a second`);
  if (found.kind !== "sound") parts.push(found.sound ? "with sound" : "without sound");
  return `Found: ${parts.join(", ")}, ${size(found.bytes)}.`;
}

function droppable(place, take) {
  for (const kind of ["dragenter", "dragover"]) {
    place.addEventListener(kind, (event) => {
      event.preventDefault();
      place.classList.add("over");
    });
  }
  place.addEventListener("dragleave", () => place.classList.remove("over"));
  place.addEventListener("drop", (event) => {
    event.preventDefault();
    place.classList.remove("over");
    if (event.dataTransfer.files[0]) take(event.dataTransfer.files[0]);
  });
}

function recordable(button, name, constraints, take) {
  const words = button.textContent;
  let recorder = null;
  if (!navigator.mediaDevices?.getUserMedia) {
    button.hidden = true; // browsers lend a camera to this machine's own pages and to https only
    return;
  }
  button.addEventListener("click", async () => {
    if (recorder) {
      recorder.stop();
      return;
    }
    complain(`${name}-problem`, null);
    try {
      const stream = await navigator.mediaDevices.getUserMedia(constraints);
      recorder = begin(stream, (recorded) => {
        recorder = null;
        button.textContent = words;
        take(recorded);
      });
      button.textContent = "Stop recording";
      tell(`${name}-status`, "Recording");
    } catch {
      complain(`${name}-problem`, new Error("The browser lends no camera or microphone; allow it, or choose a file."));
    }
  });
}

function begin(stream, done) {
  const pieces = [];
  const recorder = new MediaRecorder(stream);
  const camera = stream.getVideoTracks().length ? $("camera") : null;
  recorder.ondataavailable = (event) => pieces.push(event.data);
  recorder.onstop = () => {
    for (const track of stream.getTracks()) track.stop();
    if (camera) {
      camera.srcObject = null;
      camera.hidden = true;
    }
    done(new File(pieces, "recording", { type: recorder.mimeType }));
  };
  if (camera) {
    camera.srcObject = stream;
    camera.hidden = false;
    camera.play();
  }
  recorder.start();
  return recorder;
}
