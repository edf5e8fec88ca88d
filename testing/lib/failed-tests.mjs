// A reporter for `node --test`: a line for each test that failed, its file and its name.

export default async function* failedTests(events) {
  for await (const { type, data } of events) {
    if (type !== "test:fail" || data.todo !== undefined) continue;
    // A suite fails with the tests in it, which have lines of their own.
    if (data.details?.error?.failureType === "subtestsFailed") continue;
    yield `${data.file ?? data.name}\t${data.name.replace(/\s+/g, " ")}\n`;
  }
}
