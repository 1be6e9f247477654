// The Node package at work. Usage: node aparavi_node.cjs PACKAGE URL KEY FOLDER, with a.txt and b.txt in the folder.
// The last line says what came of each step.
const path = require('node:path');

const [package_, url, key, files] = process.argv.slice(2);
require(path.join(package_, 'environment')).API_BASE_URL = url;
const { AparaviDTC, AparaviDTCMethods: methods } = require(package_);

// It asks every two seconds: here as soon as possible.
const later = global.setTimeout;
global.setTimeout = (work, delay, ...rest) => later(work, Math.min(delay, 20), ...rest);

const client = new AparaviDTC(key);
const said = {};
const refusal = async (action) => action().then(() => null, (error) => error.message);
const source = (path) => ({ source: 'file_1', components: [{ id: 'file_1', provider: 'file', config: { path } }] });
const standing = {
  source: 'webhook_1',
  components: [
    { id: 'webhook_1', provider: 'webhook', config: { mode: 'Source' } },
    { id: 'text_1', provider: 'text', config: {}, input: [{ lane: 'data', from: 'webhook_1' }] },
  ],
};

(async () => {
  said.ended = await client.executePipelineWorkflow({ pipeline: source('/data/source') });
  said.failed = await refusal(() => client.executePipelineWorkflow({ pipeline: source('/data/nowhere') }));
  said.valid = await client.validatePipeline({ pipeline: standing });
  said.invalid = await client.validatePipeline({ pipeline: { components: [{ provider: 'ocr' }] } });
  said.refused = await refusal(() => client.executePipelineWorkflow({ components: [{ provider: 'ocr' }] }));

  said.standing = await client.executePipelineWorkflow({ pipeline: standing });
  said.one = await client.sendPayloadToWebhook(path.join(files, 'a.txt'));
  said.two = await client.sendPayloadToWebhook(path.join(files, '*.txt'));
  said.text = await client.sendTextToWebhook('plain text');
  said.running = await client.getPipelineStatus();
  const { token, type } = client;
  await client.tearDown();
  said.cancelled = await methods.getPipelineStatus(key, token, type);
  said.late = await refusal(() => methods.sendTextToWebhook(key, token, type, 'too late'));

  const nobody = '00000000-0000-0000-0000-000000000000';
  said.unknown = await refusal(() => methods.getPipelineStatus(key, nobody, 'cpu'));
  said.unended = await refusal(() => methods.tearDownPipeline(key, nobody, 'cpu'));
  said.unsent = await refusal(() => methods.sendTextToWebhook(key, nobody, 'cpu', 'text'));
  said.stranger = await refusal(() => methods.getPipelineStatus('nonsense', token, type));
  console.log(JSON.stringify(said));
})();
