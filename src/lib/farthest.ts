/** No time in seconds since the epoch is as far off (the year 5138): whoever says so gave milliseconds. */
export const FARTHEST_SECONDS = 1e11
