package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// The one client for all servers: so many connections, each with a goroutine that asks, waits for the
// whole answer, compares it, and asks again. An error ends the run.

const (
	warmUp    = 0  // what is asked now is not counted
	measuring = 1  // what is asked and answered now is
	over      = 2  // nobody asks any more
	dialers   = 16 // so many connect at the same time
	patience  = 20 * time.Second
)

var (
	payload = []byte(strings.Repeat("0123456789abcdef", 4)) // 64 bytes
	request = []byte("GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n")
)

// An exchange is one request with its answer.
type exchange func() error

// load: requests per second, and the microseconds that 99 of 100 take at most.
func load(kind, address string, connections int, length time.Duration) []float64 {
	exchanges := open(kind, address, connections)
	var phase atomic.Int32
	var waiting sync.WaitGroup
	took, failures := make([][]time.Duration, connections), make([]error, connections)
	for i, ask := range exchanges {
		waiting.Go(func() { took[i], failures[i] = keepAsking(ask, &phase) })
	}
	time.Sleep(length / 4)
	start := time.Now()
	phase.Store(measuring)
	time.Sleep(length)
	phase.Store(over)
	elapsed := time.Since(start)
	waiting.Wait()
	check(summaryOf(failures))
	return rateAndLatency(slices.Concat(took...), elapsed)
}

func keepAsking(ask exchange, phase *atomic.Int32) (took []time.Duration, err error) {
	for {
		asked, start := phase.Load(), time.Now()
		if asked == over {
			return took, nil
		}
		if err := ask(); err != nil {
			return nil, err
		}
		if asked == measuring && phase.Load() == measuring {
			took = append(took, time.Since(start))
		}
	}
}

func summaryOf(failures []error) error {
	failed := slices.DeleteFunc(failures, func(err error) bool { return err == nil })
	if len(failed) == 0 {
		return nil
	}
	return fmt.Errorf("%d connections failed, one of them with: %w", len(failed), failed[0])
}

func rateAndLatency(took []time.Duration, elapsed time.Duration) []float64 {
	if len(took) == 0 {
		check(errors.New("no request was answered in time"))
	}
	slices.Sort(took)
	late := took[(len(took)-1)*99/100]
	return []float64{float64(len(took)) / elapsed.Seconds(), float64(late.Nanoseconds()) / 1000}
}

// open makes all connections before the first of them asks.
func open(kind, address string, connections int) []exchange {
	exchanges, failures := make([]exchange, connections), make([]error, connections)
	var waiting sync.WaitGroup
	places := make(chan bool, dialers)
	for i := range connections {
		places <- true
		waiting.Go(func() {
			exchanges[i], failures[i] = connect(kind, address, i)
			<-places
		})
	}
	waiting.Wait()
	check(summaryOf(failures))
	return exchanges
}

func connect(kind, address string, worker int) (exchange, error) {
	if kind == "churn" {
		return func() error { return visit(address, worker) }, nil
	}
	conn, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return nil, err
	}
	check(conn.SetDeadline(time.Now().Add(patience)))
	switch kind {
	case "tls":
		conn, err = secure(conn)
		return echo(conn), err
	case "http":
		return firstResponse(conn)
	}
	return echo(conn), nil
}

func echo(conn net.Conn) exchange {
	answer := make([]byte, len(payload))
	return func() error {
		if _, err := conn.Write(payload); err != nil {
			return err
		}
		if _, err := io.ReadFull(conn, answer); err != nil {
			return err
		}
		if !bytes.Equal(answer, payload) {
			return fmt.Errorf("the echo was %q", answer)
		}
		return nil
	}
}

// visit connects, has one echo, and closes. Each worker has an address of its own where there are many, as
// a closed connection keeps its port for a minute.
func visit(address string, worker int) error {
	dialer := net.Dialer{Timeout: patience}
	if runtime.GOOS == "linux" {
		dialer.LocalAddr = &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(1+worker%250))}
	}
	conn, err := dialer.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	return echo(conn)()
}

func secure(conn net.Conn) (net.Conn, error) {
	text, err := os.ReadFile(certificateFile())
	if err != nil {
		return nil, err
	}
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(text)
	client := tls.Client(conn, &tls.Config{RootCAs: trusted, ServerName: "localhost"})
	return client, client.Handshake()
}

// firstResponse parses one response. All others must be as long and have the same status and body.
func firstResponse(conn net.Conn) (exchange, error) {
	if _, err := conn.Write(request); err != nil {
		return nil, err
	}
	var raw bytes.Buffer
	first, err := http.ReadResponse(bufio.NewReader(io.TeeReader(conn, &raw)), nil)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(first.Body)
	if err != nil || first.StatusCode != 200 || first.Close || string(body) != "Hello, world!" {
		return nil, fmt.Errorf("the response was %q, %v", raw.String(), err)
	}
	status := raw.Bytes()[:len("HTTP/1.1 200")]
	answer := make([]byte, raw.Len())
	return func() error {
		if _, err := conn.Write(request); err != nil {
			return err
		}
		if _, err := io.ReadFull(conn, answer); err != nil {
			return err
		}
		if !bytes.HasPrefix(answer, status) || !bytes.HasSuffix(answer, body) {
			return fmt.Errorf("the response was %q", answer)
		}
		return nil
	}, nil
}

// loadOnce is the command: load KIND ADDRESS CONNECTIONS MILLISECONDS.
func loadOnce(words []string) {
	length := time.Duration(number(words[3])) * time.Millisecond
	values := load(words[0], words[1], number(words[2]), length)
	line, _ := json.Marshal(map[string]any{"value": values})
	fmt.Println(string(line))
}
