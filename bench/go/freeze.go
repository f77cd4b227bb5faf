package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

const period = time.Millisecond // from tick to tick

var buffer = make([]byte, 1<<26)

// loads are the calls that Go has too. SQLite is not in its library, and its regular expressions never try
// every way.
var loads = map[string]func(){
	"sleep": func() { time.Sleep(500 * time.Millisecond) },
	"hog": func() {
		for range 20_000 { // a Go loop is that much shorter than a Python loop
			sink.Add(1)
		}
	},
	"hash": func() { sink.Add(int64(sha256.Sum256(buffer)[0])) },
}

// ticker: how late a ticker of one millisecond is beside tasks that keep their threads. ../peers/freeze.py
// says what is counted.
func ticker(words []string) {
	load, tasks, length := words[0], number(words[1]), time.Duration(number(words[2]))*time.Millisecond
	var over atomic.Bool
	var running sync.WaitGroup
	late := make(chan []float64)
	go func() { late <- tick(&over) }()
	for range tasks {
		running.Go(func() { keepBusy(loads[load], length) })
	}
	time.Sleep(length)
	running.Wait()
	over.Store(true)
	line, _ := json.Marshal(map[string][]float64{"value": summary(<-late)})
	fmt.Println(string(line))
}

func tick(over *atomic.Bool) (late []float64) {
	due := time.Now().Add(period)
	for !over.Load() {
		time.Sleep(time.Until(due))
		for now := time.Now(); !due.After(now); due = due.Add(period) {
			late = append(late, float64(now.Sub(due).Nanoseconds())/1e6)
		}
	}
	return late
}

func keepBusy(call func(), length time.Duration) {
	for end := time.Now().Add(length); time.Now().Before(end); {
		call()
	}
}

func summary(late []float64) []float64 {
	slices.Sort(late)
	last := len(late) - 1
	return []float64{late[last/2], late[last*99/100], late[last]}
}

// sleeps: the seconds that tasks take which sleep at once.
func sleeps(numbers []int) float64 {
	tasks, length := numbers[0], time.Duration(numbers[1])*time.Millisecond
	var wait sync.WaitGroup
	start := time.Now()
	for range tasks {
		wait.Go(func() { time.Sleep(length) })
	}
	wait.Wait()
	return time.Since(start).Seconds()
}

func number(word string) int {
	number, err := strconv.Atoi(word)
	if err != nil {
		panic(err)
	}
	return number
}
