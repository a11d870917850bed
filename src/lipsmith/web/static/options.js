// The options of `lipsmith dub`.

import { $, selectedValue, showText } from "./dom.js";
import { source } from "./source.js";

const music = { id: null, wanted: false };

// The selected music is still uploading or has no sound; a dub would lack it.
export const isMusicMissing = () => music.wanted && !music.id;

export function options() {
  return {
    tail: selectedValue("tail"),
    fit: selectedValue("fit"),
    strength: Number($("strength").value),
    background: music.id,
    ...(music.id && { gain: Number($("gain").value) }),
    precision: selectedValue("precision"),
    side_by_side: $("side-by-side").checked,
    language: $("language").value || null,
    label: $("label").checked,
  };
}

function showValues() {
  const gain = Number($("gain").value);
  const volume = gain === 0 ? "as in its file" : `${Math.abs(gain)} dB ${gain < 0 ? "softer" : "louder"} than in its file`;
  showText("strength-shown", `${Math.round(100 * $("strength").value)} %`);
  showText("gain-shown", volume);
  $("gain").setAttribute("aria-valuetext", volume);
}

export function startOptions(onChange) {
  const setMusic = (wanted, id) => {
    Object.assign(music, { wanted, id });
    onChange();
  };
  source("music", {
    needs: "sound",
    onFile: () => setMusic(true, null),
    onReady: (found) => setMusic(true, found.id),
    onRemove: () => setMusic(false, null),
  });
  for (const id of ["strength", "gain"]) $(id).addEventListener("input", showValues);
  showValues();
}
