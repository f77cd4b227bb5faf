// Go's side of the benchmark: one function per row, the same work as in ../peers.
//
//	bench ROW [NUMBER...]    prints one line of JSON with the row's value
//	bench ticker LOAD TASKS MILLISECONDS    the same, with three values; in freeze.go
//	bench serve KIND                                   a server, until it is killed; in net.go
//	bench load KIND ADDRESS CONNECTIONS MILLISECONDS   the client of all servers; in load.go
//	bench certify                                      a certificate for the servers with TLS
//
// GOMAXPROCS comes from the environment: 1 for the rows on a single P.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

var rows = map[string]func(numbers []int) float64{
	"switch":       switching,
	"spawn":        spawn,
	"burst":        burst,
	"pingpong":     pingpong,
	"buffered":     buffered,
	"select_ready": selectReady,
	"select_block": selectBlock,
	"parked":       parked,
	"sleepers":     sleepers,
	"sieve":        sieve,
	"fanin":        fanin,
	"mutex":        mutex,
	"contended":    contended,
	"group":        group,
	"timeout":      timeout,
	"cpu":          cpu,
	"sleeps":       sleeps,
}

func main() {
	switch os.Args[1] {
	case "hello":
		hello()
		return
	case "ticker":
		ticker(os.Args[2:])
		return
	case "serve":
		serve(os.Args[2])
	case "load":
		loadOnce(os.Args[2:])
		return
	case "certify":
		certify()
		return
	}
	var numbers []int
	for _, word := range os.Args[2:] {
		numbers = append(numbers, number(word))
	}
	value := rows[os.Args[1]](numbers)
	line, _ := json.Marshal(map[string]float64{"value": value})
	fmt.Println(string(line))
}

// hello is the start-up row: one goroutine that says its word over a channel. The driver has the clock.
func hello() {
	words := make(chan string)
	go func() { words <- "hello" }()
	fmt.Println(<-words)
}

// switching: tasks goroutines that do nothing but give way.
func switching(numbers []int) float64 {
	tasks := numbers[0]
	return perOp(func(n int) time.Duration {
		var wait sync.WaitGroup
		wait.Add(tasks)
		for range tasks {
			go func() {
				for range n / tasks {
					runtime.Gosched()
				}
				wait.Done()
			}()
		}
		start := time.Now()
		wait.Wait()
		return time.Since(start)
	})
}

// spawn: batch goroutines that return at once, and a wait for all of them, again and again.
// Add and Done rather than WaitGroup.Go, which costs one closure more.
func spawn(numbers []int) float64 {
	batch := numbers[0]
	return perOp(func(n int) time.Duration {
		start := time.Now()
		for range n / batch {
			spawnBatch(batch)
		}
		return time.Since(start)
	})
}

// burst: many goroutines at once in a program that has not had so many before.
func burst(numbers []int) float64 {
	spawnBatch(1000)
	start := time.Now()
	spawnBatch(numbers[0])
	return float64(time.Since(start).Nanoseconds()) / float64(numbers[0])
}

func spawnBatch(n int) {
	var wait sync.WaitGroup
	wait.Add(n)
	for range n {
		go finish(&wait)
	}
	wait.Wait()
}

func finish(wait *sync.WaitGroup) { wait.Done() }

// pingpong: a value goes to another goroutine over one unbuffered channel and back over a second.
func pingpong([]int) float64 {
	return perOp(func(n int) time.Duration {
		ping, pong := make(chan int), make(chan int)
		go func() {
			for value := range ping {
				pong <- value
			}
		}()
		start := time.Now()
		for i := range n {
			ping <- i
			<-pong
		}
		elapsed := time.Since(start)
		close(ping)
		return elapsed
	})
}

// buffered: one producer, one consumer, a channel that holds capacity values.
func buffered(numbers []int) float64 {
	return perOp(func(n int) time.Duration {
		channel := make(chan int, numbers[0])
		start := time.Now()
		go func() {
			for i := range n {
				channel <- i
			}
			close(channel)
		}()
		for range channel {
		}
		return time.Since(start)
	})
}

// selectReady: a select over four channels that have been filled beforehand.
func selectReady([]int) float64 {
	return perOp(func(n int) time.Duration {
		var channels [4]chan int
		for c := range channels {
			channels[c] = make(chan int, n/4)
			for i := range n / 4 {
				channels[c] <- i
			}
		}
		start := time.Now()
		for range n / 4 * 4 {
			selectFour(&channels)
		}
		return time.Since(start)
	})
}

// selectBlock: the goroutine in select always has to wait; it answers on a fifth channel.
func selectBlock([]int) float64 {
	return perOp(func(n int) time.Duration {
		channels := [4]chan int{make(chan int), make(chan int), make(chan int), make(chan int)}
		answers := make(chan int)
		go func() {
			for range n {
				answers <- selectFour(&channels)
			}
		}()
		start := time.Now()
		for i := range n {
			channels[i%4] <- i
			<-answers
		}
		return time.Since(start)
	})
}

func selectFour(channels *[4]chan int) int {
	select {
	case value := <-channels[0]:
		return value
	case value := <-channels[1]:
		return value
	case value := <-channels[2]:
		return value
	case value := <-channels[3]:
		return value
	}
}

// parked: the growth of resident memory for each of n goroutines that wait in a receive.
func parked(numbers []int) float64 {
	n := numbers[0]
	spawnBatch(1000)
	channel := make(chan int)
	started := 0
	before := resident()
	for range n {
		go func() {
			started++ // one P, and no preemption between two goroutines this short
			<-channel
		}()
	}
	for started < n {
		runtime.Gosched()
	}
	return float64(resident()-before) / float64(n)
}

// sleepers: n goroutines wait at a gate until all have started, then sleep twice. The CPU time
// between the moment when all are in their first sleep and the moment when all are in their second
// is one fire, one switch and one new timer each.
func sleepers(numbers []int) float64 {
	n := numbers[0]
	var waiting, asleep, again atomic.Int64
	var headStart time.Duration
	gate, done := make(chan int), make(chan time.Duration)
	made := time.Now()
	for i := range n {
		go func() {
			waiting.Add(1)
			<-gate
			asleep.Add(1)
			delay := headStart + time.Duration(i*7919%1000)*time.Millisecond/2
			time.Sleep(delay)
			if again.Add(1) == int64(n) {
				done <- cpuTime()
			}
			time.Sleep(delay)
		}()
	}
	waitFor(&waiting, n)
	headStart = time.Since(made) + 1500*time.Millisecond
	close(gate)
	waitFor(&asleep, n)
	start := cpuTime()
	if again.Load() > 0 {
		panic("the first sleeper woke before the last one slept")
	}
	return float64((<-done - start).Nanoseconds()) / float64(n) / 1000
}

func waitFor(count *atomic.Int64, n int) {
	for count.Load() < int64(n) {
		time.Sleep(10 * time.Millisecond)
	}
}

// sieve: the first n primes through a chain of filter goroutines, in milliseconds.
func sieve(numbers []int) float64 {
	primes(20)
	start := time.Now()
	primes(numbers[0])
	return float64(time.Since(start).Microseconds()) / 1000
}

func primes(n int) int {
	source := make(chan int)
	go generate(source)
	prime := 0
	for range n {
		prime = <-source
		filtered := make(chan int)
		go filter(source, filtered, prime)
		source = filtered
	}
	return prime
}

func generate(numbers chan<- int) {
	for i := 2; ; i++ {
		numbers <- i
	}
}

func filter(source <-chan int, filtered chan<- int, prime int) {
	for {
		if i := <-source; i%prime != 0 {
			filtered <- i
		}
	}
}

// fanin: many producers send over few unbuffered channels, each of which has one consumer.
func fanin(numbers []int) float64 {
	producers, lanes := numbers[0], numbers[1]
	return perOp(func(n int) time.Duration {
		var wait sync.WaitGroup
		channels := make([]chan int, lanes)
		for lane := range channels {
			channels[lane] = make(chan int)
			wait.Go(func() {
				for range n / lanes {
					<-channels[lane]
				}
			})
		}
		for p := range producers {
			go func() {
				for i := range n / producers {
					channels[p%lanes] <- i
				}
			}()
		}
		start := time.Now()
		wait.Wait()
		return time.Since(start)
	})
}

// mutex: one goroutine locks and unlocks.
func mutex([]int) float64 {
	return perOp(func(n int) time.Duration {
		var mutex sync.Mutex
		start := time.Now()
		for range n {
			mutex.Lock()
			mutex.Unlock()
		}
		return time.Since(start)
	})
}

// contended: tasks goroutines give way while they have the mutex that all of them want.
func contended(numbers []int) float64 {
	tasks := numbers[0]
	return perOp(func(n int) time.Duration {
		var mutex sync.Mutex
		var wait sync.WaitGroup
		wait.Add(tasks)
		for range tasks {
			go func() {
				for range n / tasks {
					mutex.Lock()
					runtime.Gosched()
					mutex.Unlock()
				}
				wait.Done()
			}()
		}
		start := time.Now()
		wait.Wait()
		return time.Since(start)
	})
}

// group: start tasks goroutines, and wait until all have ended.
func group(numbers []int) float64 {
	fill(numbers[0])
	start := time.Now()
	for range 5 {
		fill(numbers[0])
	}
	return float64(time.Since(start).Nanoseconds()) / float64(5*numbers[0])
}

func fill(tasks int) {
	var wait sync.WaitGroup
	for range tasks {
		wait.Go(func() {})
	}
	wait.Wait()
}

// timeout: a limit of one second around giving way once.
func timeout([]int) float64 {
	return perOp(func(n int) time.Duration {
		start := time.Now()
		for range n {
			_, cancel := context.WithTimeout(context.Background(), time.Second)
			runtime.Gosched()
			cancel()
		}
		return time.Since(start)
	})
}

// cpu: how much faster tasks goroutines that only compute are on two Ps than on one.
func cpu(numbers []int) float64 {
	burnOn(2, numbers)
	one, two := burnOn(1, numbers), burnOn(2, numbers)
	return one.Seconds() / two.Seconds()
}

var sink atomic.Int64 // keeps the compiler from dropping the loops of burnOn

func burnOn(procs int, numbers []int) time.Duration {
	tasks, loops := numbers[0], 20*numbers[1] // a Go loop is that much shorter than a Python loop
	runtime.GOMAXPROCS(procs)
	var wait sync.WaitGroup
	start := time.Now()
	for range tasks {
		wait.Go(func() {
			total := 0
			for i := range loops {
				total += i * i % 7
			}
			sink.Add(int64(total))
		})
	}
	wait.Wait()
	return time.Since(start)
}
