/**
 * Calls of the public HTTP contract. Every call sends the key, waits as long as an overloaded service asks for, and
 * throws a `Problem` if it failed.
 */
import { busyUntil, checkConnection, connection, connectionLost } from "./connection.js";
import { key, keyAsked } from "./key.js";
import { Problem } from "./problem.js";

const MOST_TRIES = 6;
const LONGEST_WAIT_S = 60;

/**
 * @param path relative to the page, such as `gallery`; a leading slash of a URL in an answer is taken off.
 * @param options `method`, `query` (object; arrays repeat a name, empty values are left out), `json` or `form` as the
 *   body, `signal`.
 * @returns the `Response`, which is a success.
 */
export async function send(path, { method = "GET", query = {}, json, form, signal, headers = {} } = {}) {
  const url = path.replace(/^\//, "") + queryString(query);
  const body = json === undefined ? form : JSON.stringify(json);
  const type = json === undefined ? {} : { "Content-Type": "application/json" };
  for (let attempt = 1; ; attempt++) {
    const sentKey = key.value;
    const authorization = sentKey ? { Authorization: `Bearer ${sentKey}` } : {};
    let response;
    try {
      response = await fetch(url, { method, body, signal, headers: { ...authorization, ...type, ...headers } });
    } catch (error) {
      throw lost(error);
    }
    if (response.ok) {
      if (connection.value === "offline") checkConnection();
      return response;
    }
    const problem = await Problem.of(response);
    if (problem.status === 401 && key.value === sentKey) {
      keyAsked.set(sentKey ? "This key is not valid, or was revoked." : "This service asks for a key.");
    }
    // A proxy says so too where the service ended after it had begun: only what changes nothing is sent again then.
    const isRepeatable = method === "GET" || path === "query";
    const isOverload = problem.status === 429 || (problem.kind === "not-ready" && isRepeatable);
    if (!isOverload || !problem.retryAfterS || problem.retryAfterS > LONGEST_WAIT_S || attempt === MOST_TRIES) {
      if (["not-ready", "shutting-down"].includes(problem.kind)) connectionLost("not-ready");
      throw problem;
    }
    await waitOut(problem.retryAfterS, signal);
  }
}

/** The JSON of a call. */
export async function call(path, options) {
  const response = await send(path, options);
  if (response.status === 204) return null;
  try {
    return await response.json();
  } catch (error) {
    throw lost(error);
  }
}

/** What a request fails with that got no answer, or not all of it; one that was given up stays that. */
function lost(error) {
  if (error.name === "AbortError") return error;
  connectionLost("offline");
  return Problem.offline();
}

export function queryString(query) {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const one of [value].flat()) if (one !== null && one !== undefined && one !== "") parameters.append(name, one);
  }
  const text = parameters.toString();
  return text && `?${text}`;
}

async function waitOut(seconds, signal) {
  busyUntil.set(Date.now() + 1000 * seconds);
  try {
    await new Promise((resolve, reject) => {
      const timer = setTimeout(resolve, 1000 * seconds);
      signal?.addEventListener("abort", () => {
        clearTimeout(timer);
        reject(signal.reason);
      });
    });
  } finally {
    busyUntil.set(null);
  }
}
