// The live page: uploads a film, sends speech through a WebSocket, and plays the media it returns.

import { SILENCE } from "./api.js";
import { $, showError, showProgress, showText } from "./dom.js";
import { Player } from "./live-player.js";
import { Microphone, decodeMono, RATE } from "./microphone.js";
import { source } from "./source.js";

const NORMAL = 1000; // close code
const MOST_SILENCE = 5000; // milliseconds

let socket = null;
let silence = 0; // a timer
let microphone = null;
let isAsking = false; // for the microphone
const mayRecord = Boolean(navigator.mediaDevices?.getUserMedia); // browsers allow it only on localhost and over HTTPS

$("microphone").hidden = !mayRecord;
source("film", { needs: "picture", onFile: leave, onReady: (found) => start(found.id) });

function leave() {
  stop();
  $("session").hidden = true;
}

function start(upload) {
  stop();
  if (!window.MediaSource) { // as on iPhones
    showError("film-problem", new Error("This browser plays no live films; use another browser."));
    return;
  }
  showError("session-problem", null);
  showText("session-status", "Starting");
  $("session").hidden = false;
  $("end").disabled = false;
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  const newSocket = new WebSocket(`${scheme}://${location.host}/v1/live/${upload}?rate=${RATE}`);
  newSocket.binaryType = "arraybuffer";
  const player = new Player($("screen"), () => {
    if (socket !== newSocket) return;
    end();
    showError("session-problem", new Error("This browser cannot play the film; start again, or use another browser."));
  });
  newSocket.onmessage = ({ data }) => {
    if (socket !== newSocket) return;
    if (data instanceof ArrayBuffer) {
      watchStream();
      player.add(data);
    } else onState(JSON.parse(data), player);
  };
  newSocket.onclose = ({ code, reason }) => {
    if (socket !== newSocket) return;
    const problem = reason || (code === NORMAL ? "" : "The connection to the service was lost.");
    if (problem && $("session-problem").hidden) showError("session-problem", new Error(problem));
    end();
  };
  socket = newSocket;
}

function onState(state, player) {
  if (state.state === "preparing") {
    showProgress("session-status", `Detecting faces: ${Math.round(100 * (state.progress ?? 0))} %`);
  } else if (state.state === "failed") {
    showError("session-problem", new Error(state.problem));
    showText("session-status", "");
  } else {
    enableSpeech(true);
    showReady();
    watchStream();
    player.open(state.mime);
  }
}

// Tells when the film, which a session sends without pauses, stands still, and when it goes on.
function watchStream() {
  clearTimeout(silence);
  if ($("session-status").textContent === SILENCE) showReady();
  silence = setTimeout(() => showText("session-status", SILENCE), MOST_SILENCE);
}

const showReady = () => showText("session-status", `Ready: ${mayRecord ? "use the microphone or " : ""}play a recording.`);

function push(samples) {
  if (socket?.readyState !== WebSocket.OPEN) return;
  const integers = Int16Array.from(samples, (value) => Math.max(-1, Math.min(1, value)) * 32767);
  for (let offset = 0; offset < integers.length; offset += 100000) socket.send(integers.slice(offset, offset + 100000));
}

const sendCommand = (word) => socket?.readyState === WebSocket.OPEN && socket.send(word);

function stop() {
  clearTimeout(silence);
  microphone?.stop();
  microphone = null;
  showMicrophoneState(false);
  enableSpeech(false);
  $("end").disabled = true;
  const closing = socket;
  socket = null;
  closing?.close();
}

function end() {
  stop();
  showText("session-status", "The session has ended; choose a film to start another.");
}

// Speech that is sent before the session is ready would be played late.
function enableSpeech(enabled) {
  for (const id of ["microphone", "interrupt", "words-file"]) $(id).disabled = !enabled;
}

function showMicrophoneState(active) {
  $("microphone").setAttribute("aria-pressed", String(active));
  $("microphone").textContent = active ? "Stop the microphone" : "Use the microphone";
}

$("microphone").addEventListener("click", async () => {
  showError("session-problem", null);
  if (microphone) {
    microphone.stop();
    microphone = null;
    showMicrophoneState(false);
    sendCommand("flush");
    return;
  }
  if (isAsking) return;
  isAsking = true;
  const session = socket;
  try {
    const started = await Microphone.start(push);
    if (socket !== session) {
      started.stop();
      return;
    }
    microphone = started;
    showMicrophoneState(true);
  } catch {
    showError("session-problem", new Error("The browser denied access to the microphone; allow it, or choose a recording."));
  } finally {
    isAsking = false;
  }
});

$("words-file").addEventListener("change", async (event) => {
  const [file] = event.target.files;
  event.target.value = "";
  if (!file) return;
  showError("session-problem", null);
  const session = socket;
  try {
    const samples = await decodeMono(file);
    if (socket !== session) return;
    push(samples);
    sendCommand("flush");
  } catch {
    showError("session-problem", new Error("The browser cannot decode this recording; choose a WAV or MP3 file."));
  }
});

$("interrupt").addEventListener("click", () => sendCommand("interrupt"));
$("end").addEventListener("click", () => {
  end();
  $("film-file").focus(); // for another session
});
