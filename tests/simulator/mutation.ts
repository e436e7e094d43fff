export async function runMutants(_names: readonly string[], _jobs: number): Promise<number> {
  return await Promise.resolve(0);
}
