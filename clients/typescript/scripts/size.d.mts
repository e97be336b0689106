export const PARSER: string;
export function size(entry?: string, without?: string[]): Promise<number>;
