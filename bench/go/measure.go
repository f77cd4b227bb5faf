package main

import (
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"
)

// perOp returns the nanoseconds of one operation. body performs n of them, n a multiple of 1000, and
// says how long they took; small n first, to warm up and to find the n that fills the time budget.
func perOp(body func(n int) time.Duration) float64 {
	budget := budget()
	n := 1000
	elapsed := body(n)
	for elapsed < budget/10 {
		n *= 4
		elapsed = body(n)
	}
	n = 1000 * (1 + int(float64(n)*float64(budget)/float64(elapsed))/1000)
	return float64(body(n).Nanoseconds()) / float64(n)
}

func budget() time.Duration {
	seconds, err := strconv.ParseFloat(os.Getenv("BENCH_SECONDS"), 64)
	if err != nil {
		seconds = 0.3
	}
	return time.Duration(seconds * float64(time.Second))
}

// cpuTime is what this process has used so far, on all its threads.
func cpuTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// resident is this process's resident memory in bytes; without /proc, the most that it ever was.
func resident() int64 {
	var size, pages int64
	if text, err := os.ReadFile("/proc/self/statm"); err == nil {
		fmt.Sscan(string(text), &size, &pages)
		return pages * int64(os.Getpagesize())
	}
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return usage.Maxrss
}
