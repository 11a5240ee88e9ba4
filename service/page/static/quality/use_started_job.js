/** A job that a button of this view starts, and that is watched to its end. */
import { useEffect, useState } from "preact/hooks";
import { call } from "../api/client.js";
import { hasEnded, useJob } from "../api/events.js";

/**
 * @param onEnd called once it has ended.
 * @returns `{start(parameters), job, problem, isActive}`; `start` throws what kept it from starting.
 */
export function useStartedJob(onEnd) {
  const [id, setId] = useState(null);
  const { job, problem } = useJob(id);
  const [isStarting, setStarting] = useState(false);
  const isOver = job !== null && job.id === id && hasEnded(job);
  useEffect(() => {
    if (isOver) onEnd();
  }, [isOver]);
  const start = async (parameters) => {
    setStarting(true);
    try {
      setId((await call("jobs", { method: "POST", json: parameters })).id);
    } finally {
      setStarting(false);
    }
  };
  return { start, job, problem, isActive: isStarting || (id !== null && !isOver && !problem) };
}
