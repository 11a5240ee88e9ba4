/** Whether the service answers and is ready; asked now and then, and soon after a request got no answer. */
import { Store } from "../store.js";

const CALM_MS = 20_000;
const ANXIOUS_MS = 1_500;

/** `connecting`, `ready`, `not-ready` or `offline`. */
export const connection = new Store("connecting");
/** What `/readyz` says. */
export const readiness = new Store(null);
/** The time (ms) until which a request waits because the service is overloaded, or null. */
export const busyUntil = new Store(null);

let timer = null;

/** A request has found the service `offline` or `not-ready`: it is looked at again soon, and to be ready is news then. */
export function connectionLost(state) {
  connection.set(state);
  clearTimeout(timer);
  timer = setTimeout(checkConnection, ANXIOUS_MS);
}

export async function checkConnection() {
  clearTimeout(timer);
  try {
    const response = await fetch("readyz", { cache: "no-store" });
    readiness.set(await response.json().catch(() => null));
    connection.set(response.ok ? "ready" : "not-ready");
  } catch {
    connection.set("offline");
  }
  timer = setTimeout(checkConnection, connection.value === "ready" ? CALM_MS : ANXIOUS_MS);
}
