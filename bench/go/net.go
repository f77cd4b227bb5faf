package main

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

const response = "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\nHello, world!"

// servers are what ../net.py measures. The HTTP one reads a head and knows one answer, as the peers' do:
// net/http does more for its users than any of those.
var servers = map[string]func(net.Conn){"echo": echoBack, "tls": echoBack, "http": answer}

// serve answers each connection in a goroutine of its own, until it is killed. It prints its port.
func serve(kind string) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	line, _ := json.Marshal(map[string]int{"port": listener.Addr().(*net.TCPAddr).Port})
	if kind == "tls" {
		pair, err := tls.LoadX509KeyPair(certificateFile(), keyFile())
		check(err)
		listener = tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{pair}})
	}
	fmt.Println(string(line))
	for {
		conn, err := listener.Accept()
		check(err)
		go servers[kind](conn)
	}
}

func echoBack(conn net.Conn) {
	defer conn.Close()
	buffer := make([]byte, 65536)
	for {
		n, err := conn.Read(buffer)
		if err != nil {
			return
		}
		if _, err := conn.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func answer(conn net.Conn) {
	defer conn.Close()
	reader, hello := bufio.NewReader(conn), []byte(response)
	for {
		line, err := reader.ReadSlice('\n')
		if err != nil {
			return
		}
		if bytes.Equal(line, []byte("\r\n")) { // the end of the head
			if _, err := conn.Write(hello); err != nil {
				return
			}
		}
	}
}

func certificateFile() string {
	return filepath.Join(os.Getenv("BENCH_CERTIFICATE"), "certificate.pem")
}
func keyFile() string { return filepath.Join(os.Getenv("BENCH_CERTIFICATE"), "key.pem") }

// certify writes the certificate of all TLS servers, for one day, into the folder BENCH_CERTIFICATE.
func certify() {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "localhost"},
		DNSNames:     []string{"localhost"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
		IsCA:         true, BasicConstraintsValid: true,
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	check(err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	check(err)
	writePEM(certificateFile(), "CERTIFICATE", certificate)
	writePEM(keyFile(), "PRIVATE KEY", private)
}

func writePEM(file, kind string, content []byte) {
	check(os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content}), 0o600))
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}
