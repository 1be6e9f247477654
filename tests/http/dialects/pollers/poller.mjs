// Polls a task as CloudCoin's page does it in JavaScript: node poller.mjs URL ID SECONDS
// Heeds the status code, then payload.status; an interval of its own each time, until it is done.

const [url, id, seconds] = process.argv.slice(2);

async function isDone() {
  try {
    const response = await fetch(`${url}/api/v1/tasks/${id}`);
    if (!response.ok) {
      throw new Error(`status code ${response.status}`);
    }
    const task = (await response.json()).payload;
    console.log(`${task.status} ${task.progress}% ${task.message}`);
    if (task.status === "completed") {
      console.log(`result ${JSON.stringify(task.data)}`);
      return true;
    }
    return task.status === "error";
  } catch (error) {
    console.log(`stopped: ${error.message}`);
    return true;
  }
}

while (!(await isDone())) {
  await new Promise((resume) => setTimeout(resume, seconds * 1000));
}
