// Requests to the service that this page came from, and to no other.

export class Problem extends Error {}

export async function ask(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Problem("The service does not answer; check that it runs.");
  }
  if (answer.status === 401) location.reload();
  if (!answer.ok) throw new Problem(await sentence(answer));
  return answer.status === 204 ? null : { status: answer.status, body: await answer.json() };
}

async function sentence(answer) {
  try {
    return (await answer.json()).detail;
  } catch {
    return `The service answered ${answer.status}.`;
  }
}

// fetch cannot tell how much of a body is sent; XMLHttpRequest can.
export function upload(file, told, signal) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", "/v1/uploads");
    request.responseType = "json";
    request.upload.onprogress = (event) => told(event.loaded / event.total);
    request.onload = () =>
      request.status === 201
        ? resolve(request.response)
        : reject(new Problem(request.response?.detail ?? `The service answered ${request.status}.`));
    request.onerror = () => reject(new Problem("The file could not be sent; check the connection."));
    request.onabort = () => reject(new DOMException("another file was chosen", "AbortError"));
    signal.addEventListener("abort", () => request.abort());
    const form = new FormData();
    form.append("file", file, "file");
    request.send(form);
  });
}

export const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

export async function looked(id, signal) {
  for (;;) {
    signal.throwIfAborted();
    const { body } = await ask(`/v1/uploads/${id}`, { signal });
    if (body.state === "failed") throw new Problem(body.problem);
    if (body.state === "ready") return body;
    await pause(200);
  }
}

export async function faces(id, stretch, told, signal) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(stretch)) if (value !== null) query.set(name, value);
  for (;;) {
    signal.throwIfAborted();
    const { status, body } = await ask(`/v1/uploads/${id}/faces?${query}`, { signal });
    if (status === 200) return body.faces;
    told(body.progress);
    await pause(300);
  }
}

export function watch(id, told) {
  const events = new EventSource(`/v1/jobs/${id}/events`);
  events.addEventListener("job", (event) => {
    const job = JSON.parse(event.data);
    if (!["queued", "running"].includes(job.state)) events.close();
    told(job);
  });
  return events;
}
