// Which span of one trace is which of another: the same service, name and kind below the same parent, in their order of time. Pure.

/** `[{a, b, depth}]` of rows of two trees (`build`), in the order of the first with what the second has alone after its siblings. */
export function pairs(first, second) {
  const list = [];
  const roots = (rows) => rows.filter((row) => !row.parent);
  const stack = [{ a: null, b: null, aRows: roots(first), bRows: roots(second), depth: -1 }];
  while (stack.length) {
    const { a, b, aRows, bRows, depth } = stack.pop();
    if (a || b) list.push({ a, b, depth });
    const left = new Map();
    for (const row of bRows) {
      const same = left.get(key(row)) ?? [];
      same.push(row);
      left.set(key(row), same);
    }
    const children = aRows.map((row) => {
      const other = left.get(key(row))?.shift() ?? null;
      return { a: row, b: other, aRows: row.children, bRows: other?.children ?? [], depth: depth + 1 };
    });
    const used = new Set(children.map(({ b: row }) => row));
    for (const row of bRows) {
      if (!used.has(row)) children.push({ a: null, b: row, aRows: [], bRows: row.children, depth: depth + 1 });
    }
    stack.push(...children.reverse());
  }
  return list;
}

const key = ({ service, name, span }) => JSON.stringify([service, name, span.kind ?? "", span.remoteEndpoint?.serviceName ?? ""]);
