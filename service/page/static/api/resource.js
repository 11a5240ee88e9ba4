/** What a view has loaded, or why it could not; loaded again with another key, or once the service is back. */
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { connection } from "./connection.js";
import { key } from "./key.js";

/**
 * @param load `(signal) => Promise`; called anew when one of `dependencies` has changed.
 * @returns `{data, problem, loading, reload, setData}`; the last data stay while others are loaded.
 */
export function useResource(load, dependencies) {
  const [state, setState] = useState({ data: null, problem: null, loading: true });
  const latest = useRef(load);
  const running = useRef(null);
  latest.current = load;

  const reload = useCallback(async () => {
    running.current?.abort();
    const abort = (running.current = new AbortController());
    setState((before) => ({ ...before, loading: true }));
    try {
      const data = await latest.current(abort.signal);
      if (!abort.signal.aborted) setState({ data, problem: null, loading: false });
    } catch (problem) {
      if (!abort.signal.aborted) setState((before) => ({ ...before, problem, loading: false }));
    }
  }, []);

  useEffect(() => {
    reload();
    return () => running.current?.abort();
  }, dependencies);
  useEffect(() => key.listen(reload), []);
  useEffect(() => connection.listen((now) => now === "ready" && reload()), []);
  const setData = useCallback((change) => setState((before) => ({ ...before, data: change(before.data) })), []);
  return { ...state, reload, setData };
}
