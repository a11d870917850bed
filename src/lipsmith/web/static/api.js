// Requests to the service.

const RETRY_INTERVAL = 3000;
const OF_PROXIES = [502, 503, 504];
const OF_UPLOADS = [408, 429, 507]; // a pause, too many uploads, a full disk
const MOST_FAILURES = 3; // internal errors, of which the last is shown
export const SILENCE = "The service does not respond; waiting for it.";

export class Problem extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

export async function request(path, options = {}) {
  let response;
  let body = null;
  try {
    response = await fetch(path, options);
    if (response.ok && response.status !== 204) body = await response.json(); // fails if the connection does meanwhile
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("The service does not respond; check that it is running.");
  }
  if (response.status === 401) location.reload();
  if (!response.ok) throw new Problem(await errorMessage(response), response.status);
  return { status: response.status, body };
}

async function errorMessage(response) {
  try {
    return (await response.json()).detail;
  } catch {
    return `The service responded with status ${response.status}.`;
  }
}

// Makes the browser ask before it leaves the page, until the returned function is called.
export function askBeforeLeaving() {
  const ask = (event) => event.preventDefault();
  addEventListener("beforeunload", ask);
  return () => removeEventListener("beforeunload", ask);
}

// Whether an upload that failed with `error` may succeed if the same file is sent again.
export const maySendAgain = (error) =>
  error instanceof Problem && (!error.status || [500, ...OF_PROXIES, ...OF_UPLOADS].includes(error.status));

// fetch does not report upload progress; XMLHttpRequest does.
export function upload(file, onProgress, signal) {
  return new Promise((resolve, reject) => {
    const xhr = new XMLHttpRequest();
    xhr.open("POST", "/v1/uploads");
    xhr.responseType = "json";
    xhr.upload.onprogress = (event) => onProgress(event.loaded / event.total);
    xhr.onload = () =>
      xhr.status === 201
        ? resolve(xhr.response)
        : reject(new Problem(xhr.response?.detail ?? `The service responded with status ${xhr.status}.`, xhr.status));
    xhr.onerror = () => reject(new Problem("The file could not be sent; check the file and the connection."));
    xhr.onabort = () => reject(new DOMException("another file was selected", "AbortError"));
    signal.addEventListener("abort", () => xhr.abort());
    xhr.onloadend = askBeforeLeaving(); // an upload of gigabytes would begin anew
    const form = new FormData();
    form.append("file", file, "file");
    xhr.send(form);
  });
}

export async function remove(path) {
  try {
    await request(path, { method: "DELETE" });
  } catch (error) {
    if (error.status !== 404) throw error; // it has expired, or this is the second click of two
  }
}

export const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

// Asks until the service responds; calls `onSilence` while it does not.
async function insist(path, onSilence, signal) {
  let failures = 0;
  for (;;) {
    signal.throwIfAborted();
    try {
      return await request(path, { signal });
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      if (error.status === 500) failures += 1;
      else if (error.status && !OF_PROXIES.includes(error.status)) throw error;
      if (failures === MOST_FAILURES) throw error;
      onSilence(SILENCE);
      await sleep(RETRY_INTERVAL);
    }
  }
}

export async function waitForProbe(id, onSilence, signal) {
  for (;;) {
    const { body } = await insist(`/v1/uploads/${id}`, onSilence, signal);
    if (body.state === "failed") throw new Problem(body.problem);
    if (body.state === "ready") return body;
    await sleep(200);
  }
}

// Stops the detection if `signal` aborts.
export async function waitForFaces(id, range, onProgress, onSilence, signal) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(range)) if (value !== null) query.set(name, value);
  const path = `/v1/uploads/${id}/faces?${query}`;
  try {
    for (;;) {
      const { status, body } = await insist(path, onSilence, signal);
      if (status === 200) return body.faces;
      onProgress(body.progress);
      await sleep(300);
    }
  } catch (error) {
    if (error.name === "AbortError") remove(path).catch(() => {}); // other faces would wait for these
    throw error;
  }
}

export const isActive = (job) => ["queued", "running"].includes(job.state);

// Calls `onSilence` when the connection fails, and `onLoss` if the job is gone. Returns a function that stops watching.
export function watchJob(id, onChange, onSilence, onLoss) {
  const stopping = new AbortController();
  const { signal } = stopping;
  let events = null;
  const stop = () => {
    stopping.abort();
    events?.close();
  };
  const reconnect = async () => {
    try {
      await sleep(RETRY_INTERVAL);
      await insist(`/v1/jobs/${id}`, onSilence, signal);
      connect();
    } catch (error) {
      if (error.name === "AbortError") return;
      stop();
      onLoss(error);
    }
  };
  const connect = () => {
    events?.close();
    if (document.hidden) return; // browsers open six connections to a server, and six tabs would leave none
    events = new EventSource(`/v1/jobs/${id}/events`);
    events.addEventListener("error", ({ target }) => {
      onSilence();
      // The browser connects again, but not after a response with an error.
      if (target.readyState === EventSource.CLOSED) reconnect();
    });
    events.addEventListener("job", (event) => {
      const job = JSON.parse(event.data);
      if (!isActive(job)) stop();
      onChange(job);
    });
  };
  document.addEventListener("visibilitychange", connect, { signal });
  connect();
  return stop;
}
