// Plays MP4 fragments as they arrive, with little delay.

const MAX_DELAY = 0.6; // seconds behind the newest fragment; beyond it, the player seeks
const TARGET_DELAY = 0.12;
const BUFFER_SECONDS = 20; // of played media

export class Player {
  // `onError` is called if the browser cannot play what is added.
  constructor(video, onError) {
    this.video = video;
    this.onError = onError;
    this.queue = [];
    this.buffer = null;
  }

  open(mime) {
    if (!MediaSource.isTypeSupported(mime)) {
      this.onError();
      return;
    }
    this.video.onerror = () => this.onError();
    const media = new MediaSource();
    this.video.src = URL.createObjectURL(media);
    media.addEventListener("sourceopen", () => {
      URL.revokeObjectURL(this.video.src);
      this.buffer = media.addSourceBuffer(mime);
      this.buffer.addEventListener("updateend", () => this.appendNext());
      this.appendNext();
      this.video.play().catch((error) => error.name === "NotAllowedError" && this.playMuted());
    });
  }

  // Browsers allow sound only after a user action; some do not count the choice of a file.
  playMuted() {
    this.video.muted = true;
    this.video.play();
    document.addEventListener("click", () => (this.video.muted = false), { once: true });
  }

  add(fragment) {
    this.queue.push(fragment);
    this.appendNext();
  }

  appendNext() {
    if (!this.buffer || this.buffer.updating || this.video.error) return;
    this.limitDelay();
    if (this.buffer.updating || !this.queue.length) return;
    const size = this.queue.reduce((sum, part) => sum + part.byteLength, 0);
    const joined = new Uint8Array(size);
    let position = 0;
    for (const part of this.queue) {
      joined.set(new Uint8Array(part), position);
      position += part.byteLength;
    }
    this.queue = [];
    this.buffer.appendBuffer(joined);
  }

  limitDelay() {
    const { buffered } = this.buffer;
    if (!buffered.length) return;
    const newest = buffered.end(buffered.length - 1);
    if (newest - this.video.currentTime > MAX_DELAY) this.video.currentTime = newest - TARGET_DELAY;
    if (this.video.currentTime - buffered.start(0) > 2 * BUFFER_SECONDS) this.buffer.remove(0, this.video.currentTime - BUFFER_SECONDS);
  }
}
