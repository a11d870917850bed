// A file input: choose, drop or record a file; upload it and wait for its probe.

import { Problem, askBeforeLeaving, maySendAgain, remove, upload, waitForProbe } from "./api.js";
import { $, showError, formatSeconds, formatSize, showProgress, showText, storage } from "./dom.js";

// Otherwise the browser leaves the page for a file that is dropped beside a box.
for (const kind of ["dragover", "drop"]) addEventListener(kind, (event) => event.preventDefault());

// What to say of a file that lacks what is needed of it.
const LACKS = {
  picture: (found) => (found.kind === "sound" ? "The file contains only sound; choose a film or a picture." : null),
  sound: (found) => (found.sound ? null : "The file has no sound; choose a recording."),
};

const inputs = []; // for each input, a function that lists the uploads it uses

// `more` lists uploads that an input uses next to the last one; an input with it goes on sending the files that were
// chosen before, until the controller that `onFile` was given aborts. What `onFile` returns is passed to `onReady` or
// `onFailure`.
export function source(name, { needs, more, onFile, onReady, onFailure, onRemove, constraints }) {
  let current = new AbortController();
  let uploaded = null;
  let unsent = null; // the file whose upload failed; what was recorded exists nowhere else
  const removeButton = $(`${name}-remove`);
  const againButton = $(`${name}-again`);
  const uses = () => [uploaded, ...(more?.() ?? [])];
  inputs.push(uses);

  // Uses an upload, or none, in the place of what was chosen or is being sent.
  function use(id) {
    current.abort();
    current = new AbortController();
    uploaded = id;
    showError(`${name}-problem`, null);
    showText(`${name}-status`, "");
    if (removeButton) removeButton.hidden = id === null;
    offerAgain(null);
  }

  function offerAgain(file) {
    unsent = file;
    if (againButton) againButton.hidden = !file;
  }

  async function handleFile(file) {
    if (more) showError(`${name}-problem`, null);
    else use(null);
    if (!storage) {
      showError(`${name}-problem`, new Problem("This page needs cookies; allow them for this address, then reload the page."));
      return;
    }
    if (removeButton) removeButton.hidden = false;
    const sending = more ? new AbortController() : current;
    const { signal } = sending;
    const chosen = onFile(file, sending);
    try {
      const sent = await upload(file, (fraction) => showProgress(`${name}-status`, `Uploading: ${Math.round(100 * fraction)} %`), signal);
      uploaded = sent.id;
      showText(`${name}-status`, "Analyzing");
      const found = await waitForProbe(sent.id, (silence) => showText(`${name}-status`, silence), signal);
      if (LACKS[needs](found)) throw new Problem(LACKS[needs](found));
      showText(`${name}-status`, describe(found));
      onReady(found, chosen);
    } catch (error) {
      if (error.name !== "AbortError") showText(`${name}-status`, "");
      if (!uploaded && maySendAgain(error)) offerAgain(file);
      onFailure?.(chosen);
      showError(`${name}-problem`, error);
    }
  }

  async function removeFile() {
    const before = current;
    // The same file may serve in two places.
    const isShared = inputs.some((other) => other !== uses && other().includes(uploaded));
    try {
      if (uploaded !== null && !isShared) await remove(`/v1/uploads/${uploaded}`);
    } catch (error) {
      showError(`${name}-problem`, error);
      return;
    }
    if (current !== before) return; // another file was chosen meanwhile
    use(null);
    onRemove();
    $(`${name}-file`).focus();
  }

  removeButton?.addEventListener("click", removeFile);
  againButton?.addEventListener("click", () => {
    handleFile(unsent);
    $(`${name}-file`).focus(); // the button is gone
  });
  $(`${name}-file`).addEventListener("change", (event) => {
    if (event.target.files[0]) handleFile(event.target.files[0]);
    event.target.value = "";
  });
  acceptDrops($(`${name}-drop`), handleFile);
  if (constraints) enableRecording($(`${name}-record`), name, constraints, handleFile);
  return { use, signal: () => current.signal };
}

function describe(found) {
  const parts = [found.kind];
  if (found.seconds) parts.push(formatSeconds(found.seconds));
  if (found.width) parts.push(`${found.width} x ${found.height}`);
  if (found.kind === "film") parts.push(`${Number(found.rate.toFixed(2))} frames per second`);
  if (found.kind !== "sound") parts.push(found.sound ? "with sound" : "without sound");
  return `Found: ${parts.join(", ")}, ${formatSize(found.bytes)}.`;
}

function acceptDrops(place, handleFile) {
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
    if (event.dataTransfer.files[0]) handleFile(event.dataTransfer.files[0]);
  });
}

function enableRecording(button, name, constraints, handleFile) {
  const label = button.textContent;
  let recorder = null;
  let isAsking = false; // for the camera or the microphone
  if (!navigator.mediaDevices?.getUserMedia) {
    button.hidden = true; // browsers allow recording only on localhost and over HTTPS
    return;
  }
  button.addEventListener("click", async () => {
    if (recorder) {
      recorder.stop();
      return;
    }
    if (isAsking) return;
    isAsking = true;
    showError(`${name}-problem`, null);
    try {
      const stream = await navigator.mediaDevices.getUserMedia(constraints);
      recorder = startRecording(stream, (recorded) => {
        recorder = null;
        button.textContent = label;
        handleFile(recorded);
      });
      button.textContent = "Stop recording";
      showText(`${name}-status`, "Recording");
    } catch {
      showError(`${name}-problem`, new Error("The browser denied access to the camera or microphone; allow it, or choose a file."));
    } finally {
      isAsking = false;
    }
  });
}

function startRecording(stream, onStop) {
  const chunks = [];
  const recorder = new MediaRecorder(stream);
  const camera = stream.getVideoTracks().length ? $("camera") : null;
  const letLeave = askBeforeLeaving();
  recorder.ondataavailable = (event) => chunks.push(event.data);
  recorder.onstop = () => {
    letLeave();
    for (const track of stream.getTracks()) track.stop();
    if (camera) {
      camera.srcObject = null;
      camera.hidden = true;
    }
    onStop(new File(chunks, "recording", { type: recorder.mimeType }));
  };
  if (camera) {
    camera.srcObject = stream;
    camera.hidden = false;
    camera.play();
  }
  recorder.start();
  return recorder;
}
