export function size(entry?: string): Promise<number>;
