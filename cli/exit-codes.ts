/** What the process says to scripts (design §11). */
export const exitCodes = {
  /** All rollouts were graded, or what was asked for is done (also `run --detach`). */
  ok: 0,
  /** Some rollouts failed; `doctor` or `validate` found something wrong. */
  failed: 1,
  /** Wrong options, a bad task, a setting or a server that is not usable: nothing was started. */
  usage: 2,
  /** A bug of Rollcall (EX_SOFTWARE). */
  bug: 70,
  /** The job was cancelled, or the command left it running. */
  interrupted: 130,
} as const
