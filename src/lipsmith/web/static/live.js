// The page of live sessions: a film is sent, sound goes up through a socket, and what comes down is played at once.

import { $, complain, tell } from "./dom.js";
import { Player } from "./live-player.js";
import { Microphone, samplesOf, RATE } from "./microphone.js";
import { source } from "./source.js";

let socket = null;
let microphone = null;

source("film", { chosenFile: end, ready: (found) => begin(found.id) });

function begin(upload) {
  end();
  complain("session-problem", null);
  $("session").hidden = false;
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  const opened = new WebSocket(`${scheme}://${location.host}/v1/live/${upload}?rate=${RATE}`);
  opened.binaryType = "arraybuffer";
  const player = new Player($("screen"));
  opened.onmessage = ({ data }) => {
    if (data instanceof ArrayBuffer) player.add(data);
    else told(JSON.parse(data), player);
  };
  opened.onclose = ({ reason }) => {
    if (socket !== opened) return;
    if (reason) complain("session-problem", new Error(reason));
    end();
    tell("session-status", "The session has ended; choose a film to begin another.");
  };
  socket = opened;
}

function told(state, player) {
  if (state.state === "preparing") {
    tell("session-status", `Looking for the face: ${Math.round(100 * (state.progress ?? 0))} %`);
  } else if (state.state === "failed") {
    complain("session-problem", new Error(state.problem));
    tell("session-status", "");
  } else {
    player.open(state.mime);
    tell("session-status", "Ready: speak, or choose a recording.");
  }
}

function push(samples) {
  if (socket?.readyState !== WebSocket.OPEN) return;
  const whole = Int16Array.from(samples, (value) => Math.max(-1, Math.min(1, value)) * 32767);
  for (let begin = 0; begin < whole.length; begin += 100000) socket.send(whole.slice(begin, begin + 100000));
}

const command = (word) => socket?.readyState === WebSocket.OPEN && socket.send(word);

function end() {
  microphone?.stop();
  microphone = null;
  listening(false);
  const closing = socket;
  socket = null;
  closing?.close();
}

function listening(on) {
  $("microphone").setAttribute("aria-pressed", String(on));
  $("microphone").textContent = on ? "Stop the microphone" : "Use the microphone";
}

$("microphone").addEventListener("click", async () => {
  complain("session-problem", null);
  if (microphone) {
    microphone.stop();
    microphone = null;
    listening(false);
    command("flush");
    return;
  }
  try {
    microphone = await Microphone.start(push);
    listening(true);
  } catch {
    complain("session-problem", new Error("The browser lends no microphone; allow it, or choose a recording."));
  }
});

$("words-file").addEventListener("change", async (event) => {
  const [file] = event.target.files;
  event.target.value = "";
  if (!file) return;
  complain("session-problem", null);
  try {
    push(await samplesOf(file));
    command("flush");
  } catch {
    complain("session-problem", new Error("The browser cannot decode this recording; choose a WAV or an MP3."));
  }
});

$("interrupt").addEventListener("click", () => command("interrupt"));
$("end").addEventListener("click", () => {
  end();
  tell("session-status", "The session has ended; choose a film to begin another.");
});
