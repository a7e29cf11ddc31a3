// node-casbin over standard input and output: one JSON command a line, one JSON answer a line.
const readline = require("readline");
const casbin = require(process.argv[2]);

// `g(roles, role, domain)` is a set test, as in Klausel. node-casbin joins the list of roles with commas before it asks.
class StandingRoleManager {
  constructor() { this.sets = new Map(); }
  syncedHasLink(held, role) {
    let set = this.sets.get(held);
    if (!set) this.sets.set(held, (set = new Set(held.split(","))));
    return set.has(role);
  }
  async hasLink(held, role) { return this.syncedHasLink(held, role); }
  async addLink() {}
  async clear() {}
  async deleteLink() {}
  async getRoles() { return []; }
  async getUsers() { return []; }
  async printRoles() {}
}

function attribute(holder, ...path) {
  for (const name of path) {
    if (holder === null || typeof holder !== "object" || !Object.hasOwn(holder, name)) return undefined;
    holder = holder[name];
  }
  return holder;
}
const isEqual = (left, right) => left !== undefined && left !== null && left === right;
const isIn = (item, items) => Array.isArray(items) && items.some((other) => isEqual(item, other));

let enforcer;
const commands = {
  async load({ model, rows, depths }) {
    enforcer = await casbin.newEnforcer(casbin.newModelFromString(model));
    enforcer.setRoleManager(new StandingRoleManager());
    await enforcer.addFunction("attribute", attribute);
    await enforcer.addFunction("is_equal", isEqual);
    await enforcer.addFunction("is_in", isIn);
    await enforcer.addFunction("within", (domain, scope) => {
      const [place, level] = scope.split(" at level ");
      const ids = domain.split("/");
      if (place !== "*" && !place.split("/").every((part, at) => ids[at] !== undefined && (part === "*" || part === ids[at]))) {
        return false;
      }
      return level === undefined || (domain !== "" && domain.split("/").length === depths[level]);
    });
    await enforcer.addPolicies(rows);
    await enforcer.buildRoleLinks();
    return rows.length;
  },
  answer({ questions }) {
    return questions.map((values) => enforcer.enforceSync(...values));
  },
  measure({ questions, seconds }) {
    const end = process.hrtime.bigint() + BigInt(Math.round(seconds * 1e9));
    const started = process.hrtime.bigint();
    let count = 0;
    while (true) {
      for (const values of questions) {
        enforcer.enforceSync(...values);
        count += 1;
        if (count % 16 === 0 && process.hrtime.bigint() > end) {
          return Number(process.hrtime.bigint() - started) / 1e9 / count;
        }
      }
    }
  },
};

readline.createInterface({ input: process.stdin }).on("line", async (line) => {
  let answer;
  try {
    const { command, ...details } = JSON.parse(line);
    answer = { result: await commands[command](details) };
  } catch (error) {
    answer = { error: String(error && error.message) };
  }
  process.stdout.write(JSON.stringify(answer) + "\n");
});
