// How it is dubbed: the options of `lipsmith dub` in words.

import { Problem } from "./api.js";
import { $, chosen, complain, tell } from "./dom.js";
import { source } from "./source.js";

const music = { id: null, wanted: false };

// Music that was chosen and has not arrived, or cannot be used, would be missed in the result.
export const lacksMusic = () => music.wanted && !music.id;

export function options() {
  return {
    tail: chosen("tail"),
    fit: chosen("fit"),
    strength: Number($("strength").value),
    background: music.id,
    gain: Number($("gain").value),
    precision: chosen("precision"),
    side_by_side: $("side-by-side").checked,
    language: $("language").value || null,
    label: $("label").checked,
  };
}

function describe() {
  const gain = Number($("gain").value);
  const loud = gain === 0 ? "as in its file" : `${Math.abs(gain)} dB ${gain < 0 ? "softer" : "louder"} than in its file`;
  tell("strength-shown", `${Math.round(100 * $("strength").value)} %`);
  tell("gain-shown", loud);
  $("gain").setAttribute("aria-valuetext", loud);
}

export function startOptions(changed) {
  const use = (wanted, id) => {
    Object.assign(music, { wanted, id });
    $("music-remove").hidden = !wanted;
    changed();
  };
  const { stop } = source("music", {
    chosenFile: () => use(true, null),
    ready: (found) => {
      if (found.sound) use(true, found.id);
      else complain("music-problem", new Problem("This has no sound; choose a recording."));
    },
  });
  $("music-remove").addEventListener("click", () => {
    stop();
    use(false, null);
    $("music-file").focus();
  });
  for (const id of ["strength", "gain"]) $(id).addEventListener("input", describe);
  describe();
}
