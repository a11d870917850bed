// Plays fragments of MP4 as they come, close to the newest.

const LATE = 0.6; // seconds behind the newest fragment from which on the player jumps
const LEAD = 0.12;
const KEPT = 20;

export class Player {
  constructor(video) {
    this.video = video;
    this.waiting = [];
    this.buffer = null;
  }

  open(mime) {
    const media = new MediaSource();
    this.video.src = URL.createObjectURL(media);
    media.addEventListener("sourceopen", () => {
      URL.revokeObjectURL(this.video.src);
      this.buffer = media.addSourceBuffer(mime);
      this.buffer.addEventListener("updateend", () => this.next());
      this.next();
      this.video.play().catch(() => this.mutedPlay());
    });
  }

  // Browsers let a page sound only after a click; choosing the film was one, but some forget it.
  mutedPlay() {
    this.video.muted = true;
    this.video.play();
    this.video.addEventListener("click", () => (this.video.muted = false), { once: true });
  }

  add(fragment) {
    this.waiting.push(fragment);
    this.next();
  }

  next() {
    if (!this.buffer || this.buffer.updating) return;
    this.keepUp();
    if (this.buffer.updating || !this.waiting.length) return;
    const size = this.waiting.reduce((sum, part) => sum + part.byteLength, 0);
    const joined = new Uint8Array(size);
    let place = 0;
    for (const part of this.waiting) {
      joined.set(new Uint8Array(part), place);
      place += part.byteLength;
    }
    this.waiting = [];
    this.buffer.appendBuffer(joined);
  }

  keepUp() {
    const { buffered } = this.buffer;
    if (!buffered.length) return;
    const newest = buffered.end(buffered.length - 1);
    if (newest - this.video.currentTime > LATE) this.video.currentTime = newest - LEAD;
    if (this.video.currentTime - buffered.start(0) > 2 * KEPT) this.buffer.remove(0, this.video.currentTime - KEPT);
  }
}
