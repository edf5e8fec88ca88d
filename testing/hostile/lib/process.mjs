// In a process that this suite started: what it is asked for, and how it answers.

/** What the process that started this one has asked for. */
export const options = JSON.parse(process.argv[2] ?? "{}");

/** Answers it. Without it there is nothing to do. */
export function serve(answer) {
  process.on("message", answer);
  process.on("disconnect", () => process.exit(0));
}
