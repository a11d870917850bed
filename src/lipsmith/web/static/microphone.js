// Mono samples at a fixed rate, from the microphone or a recording.

export const RATE = 16000;
const CHUNK = 320; // samples per message, 20 ms

export class Microphone {
  static async start(push) {
    const stream = await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1, echoCancellation: true } });
    const context = new AudioContext({ sampleRate: RATE });
    const microphone = new Microphone(stream, context);
    try {
      await context.audioWorklet.addModule("/static/microphone-worklet.js");
      const node = new AudioWorkletNode(context, "chunks", { numberOfOutputs: 0, processorOptions: { size: CHUNK } });
      node.port.onmessage = ({ data }) => push(data);
      context.createMediaStreamSource(stream).connect(node);
    } catch (error) {
      microphone.stop(); // the browser would go on to show that it listens
      throw error;
    }
    return microphone;
  }

  constructor(stream, context) {
    this.stream = stream;
    this.context = context;
  }

  stop() {
    for (const track of this.stream.getTracks()) track.stop();
    this.context.close();
  }
}

export async function decodeMono(file) {
  const context = new OfflineAudioContext(1, 1, RATE);
  const decoded = await context.decodeAudioData(await file.arrayBuffer());
  const mono = new Float32Array(decoded.length);
  for (let channel = 0; channel < decoded.numberOfChannels; channel += 1) {
    decoded.getChannelData(channel).forEach((value, index) => (mono[index] += value / decoded.numberOfChannels));
  }
  return mono;
}
