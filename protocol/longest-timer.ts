/**
 * What a timer of Node can wait for, milliseconds: 24.8 days. One that is asked for more fires at once, so that whoever
 * waits for a time that a user has chosen waits no longer than this, and looks again.
 */
export const longestTimerMs = 2 ** 31 - 1
