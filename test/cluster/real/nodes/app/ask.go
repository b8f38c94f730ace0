package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sort"
	"strconv"
	"sync"
	"time"
)

// Read from the argument after "ask", e.g. {"targets": ["10.245.1.65:8080"], "kept": false, "workers": 1, "requests": 100}. Requests go to the
// targets in turn; one that is there twice gets two connections.
type asked struct {
	Targets  []string `json:"targets"`
	Kept     bool     `json:"kept"`    // one connection per worker and place in targets; otherwise a new one per request
	Workers  int      `json:"workers"` // each sends its next request when the one before is answered
	Requests int      `json:"requests"`
}

// Printed as one line. Times are microseconds of a request, with its connection where that is new.
type told struct {
	Requests int            `json:"requests"`
	Failed   int            `json:"failed"`
	Fault    string         `json:"fault"` // the first one
	Seconds  float64        `json:"seconds"`
	P50      int64          `json:"p50"`
	P99      int64          `json:"p99"`
	Pods     map[string]int `json:"pods"`
	Sources  map[string]int `json:"sources"` // who asked, as the Pods saw it
	Links    []string       `json:"links"`   // the connections, e.g. "10.245.1.3:41000 10.245.1.65:8080"
}

const answerLimit = 5 * time.Second

func ask(argument string) {
	var order asked
	if err := json.Unmarshal([]byte(argument), &order); err != nil {
		fail("ask %s: %v", argument, err)
	}
	if len(order.Targets) == 0 || order.Workers < 1 || order.Requests < 1 {
		fail("ask %s: targets, workers and requests are needed", argument)
	}
	begun := time.Now()
	results := make([]worker, order.Workers)
	var group sync.WaitGroup
	for number := range results {
		group.Add(1)
		go func() {
			defer group.Done()
			results[number].run(order, number)
		}()
	}
	group.Wait()
	_ = json.NewEncoder(os.Stdout).Encode(sum(results, time.Since(begun)))
}

type worker struct {
	took    []time.Duration
	faults  []error
	pods    map[string]int
	sources map[string]int
	links   []string
	kept    map[int]*connection
}

type connection struct {
	net.Conn
	reader *bufio.Reader
}

func (own *worker) run(order asked, number int) {
	own.pods, own.sources, own.kept = map[string]int{}, map[string]int{}, map[int]*connection{}
	for index := number; index < order.Requests; index += order.Workers {
		begun := time.Now()
		if err := own.one(order, (index/order.Workers+number)%len(order.Targets)); err != nil {
			own.faults = append(own.faults, err)
			continue
		}
		own.took = append(own.took, time.Since(begun))
	}
	for _, one := range own.kept {
		one.Close()
	}
}

func (own *worker) one(order asked, place int) error {
	target, keep := order.Targets[place], order.Kept
	link := own.kept[place]
	if link == nil {
		opened, err := net.DialTimeout("tcp", target, answerLimit)
		if err != nil {
			return err
		}
		link = &connection{opened, bufio.NewReader(opened)}
		own.links = append(own.links, opened.LocalAddr().String()+" "+target)
	}
	delete(own.kept, place)
	end := "\r\n"
	if !keep {
		end = "Connection: close\r\n\r\n"
	}
	_ = link.SetDeadline(time.Now().Add(answerLimit))
	if _, err := io.WriteString(link, "GET / HTTP/1.1\r\nHost: "+target+"\r\n"+end); err != nil {
		link.Close()
		return err
	}
	response, err := http.ReadResponse(link.reader, nil)
	if err != nil {
		link.Close()
		return err
	}
	_, err = io.Copy(io.Discard, response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %s", strconv.Itoa(response.StatusCode))
	}
	if err != nil || !keep {
		link.Close()
	} else {
		own.kept[place] = link
	}
	if err == nil {
		own.pods[response.Header.Get("x-pod")]++
		own.sources[response.Header.Get("x-source")]++
	}
	return err
}

func sum(results []worker, took time.Duration) told {
	all := told{Seconds: took.Seconds(), Pods: map[string]int{}, Sources: map[string]int{}, Links: []string{}}
	var times []time.Duration
	for _, own := range results {
		times = append(times, own.took...)
		all.Links = append(all.Links, own.links...)
		all.Failed += len(own.faults)
		if len(own.faults) > 0 && all.Fault == "" {
			all.Fault = own.faults[0].Error()
		}
		for pod, count := range own.pods {
			all.Pods[pod] += count
		}
		for source, count := range own.sources {
			all.Sources[source] += count
		}
	}
	sort.Slice(times, func(one, other int) bool { return times[one] < times[other] })
	all.Requests = len(times) + all.Failed
	if len(times) > 0 {
		all.P50 = times[len(times)/2].Microseconds()
		all.P99 = times[len(times)*99/100].Microseconds()
	}
	return all
}
