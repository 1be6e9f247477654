// Polls a task as CloudCoin's page does it in Go: poller URL ID SECONDS
//
// Knows no status code; progress is an int, and an answer that can't be decoded is asked for again. Answers are closed
// at the end only, so that the connections of all of them stay open.
package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"time"
)

type answer struct {
	Payload struct {
		ID       string      `json:"id"`
		Status   string      `json:"status"`
		Progress int         `json:"progress"`
		Message  string      `json:"message"`
		Data     interface{} `json:"data"`
	} `json:"payload"`
}

func main() {
	seconds, err := strconv.ParseFloat(os.Args[3], 64)
	if err != nil {
		panic(err)
	}
	pause := time.Duration(seconds * float64(time.Second))
	for {
		response, err := http.Get(fmt.Sprintf("%s/api/v1/tasks/%s", os.Args[1], os.Args[2]))
		if err != nil {
			fmt.Printf("stopped: %v\n", err)
			return
		}
		defer response.Body.Close()
		var read answer
		if err := json.NewDecoder(response.Body).Decode(&read); err != nil {
			fmt.Printf("unreadable: %v\n", err)
			time.Sleep(pause)
			continue
		}
		task := read.Payload
		fmt.Printf("%s %d%% %s\n", task.Status, task.Progress, task.Message)
		if task.Status == "completed" {
			data, _ := json.Marshal(task.Data)
			fmt.Printf("result %s\n", data)
			return
		} else if task.Status == "error" {
			return
		}
		time.Sleep(pause)
	}
}
