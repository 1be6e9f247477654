// A client as the published page describes one: startTask, getTask and deleteTask, by `fetch` alone.
// Usage: node aparavi_page.mjs URL KEY. The last line says what came of each step.

class AparaviDTC {
  constructor(url, apiKey) {
    Object.assign(this, { url, apiKey, token: null, type: null });
  }

  async request(method, path, what, body) {
    const headers = { Authorization: this.apiKey, ...(body && { 'Content-Type': 'application/json' }) };
    const response = await fetch(this.url + path, { method, headers, body: body && JSON.stringify(body) });
    const answer = await response.json();
    if (!response.ok) throw new Error(`Error ${what}: ${answer.error}`);
    return answer;
  }

  get query() {
    if (!this.token || !this.type) throw new Error('No task has been started');
    return `?token=${this.token}&type=${this.type}`;
  }

  async startTask(pipeline) {
    const answer = await this.request('PUT', '/task', 'starting task', pipeline);
    ({ token: this.token, type: this.type } = answer.data);
    return answer;
  }

  getTask() {
    return this.request('GET', `/task${this.query}`, 'getting task status');
  }

  deleteTask() {
    return this.request('DELETE', `/task${this.query}`, 'deleting task');
  }
}

const [url, key] = process.argv.slice(2);
const client = new AparaviDTC(url, key);
const said = {};
const refusal = async (action) => action().then(() => null, (error) => error.message);

async function end() {
  for (;;) {
    const status = await client.getTask();
    if (!['Created', 'Running', 'Paused'].includes(status.data.status)) return status;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

const source = (path) => ({ pipeline: { components: [{ name: 'source', provider: 'file', config: { path } }] } });

said.before = await refusal(async () => client.getTask());
said.started = await client.startTask(source('/data/source'));
said.first = await client.getTask();
said.ended = await end();
said.deleted = await client.deleteTask();
await client.startTask(source('/data/nowhere'));
said.failed = await end();
await client.startTask({ pipeline: { components: [{ name: 'in', provider: 'webhook' }] } });
said.standing = await client.getTask();
await client.deleteTask();
said.cancelled = await end();
client.token = '00000000-0000-0000-0000-000000000000';
said.unknown = await refusal(() => client.getTask());
client.apiKey = 'nonsense';
said.stranger = await refusal(() => client.getTask());
console.log(JSON.stringify(said));
