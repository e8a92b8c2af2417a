package client_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"time"

	"github.com/unireel/unireel/client"
)

// server is a fake Unireel server.
func server() *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Method + " " + r.URL.Path {
		case "POST /v1/video/generations":
			_, _ = io.WriteString(w, `{"id":"task_1","status":"queued"}`)
		case "GET /v1/videos/task_1":
			_, _ = io.WriteString(w, `{"id":"task_1","status":"completed","progress":100,"usage":{"billed_seconds":5,"cost":"0.25","currency":"USD"}}`)
		case "GET /v1/videos":
			_, _ = io.WriteString(w, `{"data":[{"id":"task_1","status":"completed"}],"has_more":false}`)
		case "GET /v1/videos/task_1/events":
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, "id: v1\nevent: video.queued\ndata: {\"type\":\"video.queued\",\"data\":{\"id\":\"task_1\",\"status\":\"queued\"}}\n\n"+
				"id: v4\nevent: video.completed\ndata: {\"type\":\"video.completed\",\"data\":{\"id\":\"task_1\",\"status\":\"completed\"}}\n\n")
		case "POST /v1/files":
			_, _ = io.WriteString(w, `{"id":"file_1","kind":"image"}`)
		case "GET /v1/balance":
			_, _ = io.WriteString(w, `{"free":"99.75","held":"0.00","currency":"USD"}`)
		}
	}))
}

func Example() {
	s := server()
	defer s.Close()

	c, err := client.New(s.URL, "sk-ur-...")
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	task, err := c.CreateAndWait(context.Background(), client.Request{
		Model:  "wan2.6-r2v-flash-720p-audio",
		Prompt: "character1 walks on through the rain",
		Videos: []string{"https://example.com/reference-shot-1.mp4"},
	}, nil)
	if err != nil {
		log.Fatal(err)
	}

	fmt.Println(task.Status, task.Usage.Cost, task.Usage.Currency)
	// Output: completed 0.25 USD
}

func ExampleClient_List() {
	s := server()
	defer s.Close()

	c, err := client.New(s.URL, "sk-ur-...")
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	for task, err := range c.List(context.Background(), client.Filter{Status: client.Completed}) {
		if err != nil {
			log.Fatal(err)
		}

		fmt.Println(task.ID)
	}
	// Output: task_1
}

func ExampleClient_Balance() {
	s := server()
	defer s.Close()

	c, err := client.New(s.URL, "sk-ur-...")
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	balance, err := c.Balance(context.Background())
	if err != nil {
		log.Fatal(err)
	}

	fmt.Println(balance.Free, balance.Currency)
	// Output: 99.75 USD
}

func ExampleClient_Events() {
	s := server()
	defer s.Close()

	c, err := client.New(s.URL, "sk-ur-...")
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	for event, err := range c.Events(context.Background(), "task_1", "") {
		if err != nil {
			log.Fatal(err)
		}

		fmt.Println(event.Type, event.Task.Status)
	}
	// Output:
	// video.queued queued
	// video.completed completed
}

func ExampleClient_Upload() {
	s := server()
	defer s.Close()

	c, err := client.New(s.URL, "sk-ur-...")
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	picture := bytes.NewReader([]byte("\x89PNG\r\n\x1a\n...")) // an *os.File works as well

	file, err := c.Upload(context.Background(), client.Upload{Name: "face.png", Body: picture})
	if err != nil {
		log.Fatal(err)
	}

	fmt.Println(file.ID) // accepted wherever a URL is
	// Output: file_1
}

// This is an endpoint that receives events.
func ExampleVerifyWebhook() {
	http.HandleFunc("POST /hooks/unireel", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		if err != nil {
			http.Error(w, "too much", http.StatusBadRequest)
			return
		}

		event, err := client.VerifyWebhook(r.Header, body, time.Now(), os.Getenv("UNIREEL_WEBHOOK_SECRET"))
		if err != nil {
			http.Error(w, "not ours", http.StatusUnauthorized)
			return
		}

		if event.Type == client.EventCompleted {
			log.Print(event.Task.ID, " is at ", event.Task.VideoURL)
		}

		w.WriteHeader(http.StatusNoContent)
	})
}
