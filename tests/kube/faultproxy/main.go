// faultproxy stands between a client and an API server and does on command what networks and servers do unasked.
//
// It takes TLS on -listen (HTTP/2 and HTTP/1.1), and forwards to -upstream with the client's headers, so a bearer token
// passes through; a client certificate cannot. It prints one line when it is ready:
//
//	proxy=127.0.0.1:PORT control=127.0.0.1:PORT
//
// The control port speaks HTTP. Answers are JSON.
//
//	POST   /fault?kind=KIND&...   adds a rule (rules.go tells the parameters); answers {"id": N}
//	DELETE /fault[?id=N]          removes that rule, or all of them
//	GET    /faults                the rules, and how often each did something
//	GET    /counts                {"requests": N, "watches": N, "open_watches": N, "connections": N, "faults": {KIND: N}}
//	POST   /cut[?path=RE]         cuts the responses that are under way now; answers {"cut": N}
package main

import (
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
)

func listen(address string) net.Listener {
	l, err := net.Listen("tcp", address)
	if err != nil {
		log.Fatal(err)
	}
	return l
}

func main() {
	address := flag.String("listen", "127.0.0.1:0", "address for clients, TLS")
	control := flag.String("control", "127.0.0.1:0", "address for commands")
	upstream := flag.String("upstream", "", "https://HOST:PORT of the API server")
	ca := flag.String("ca", "", "file with the authority of the API server's certificate")
	cert := flag.String("cert", "", "file with the certificate to show to clients")
	key := flag.String("key", "", "file with its key")
	flag.Parse()

	pem, err := os.ReadFile(*ca)
	if err != nil {
		log.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		log.Fatalf("%s: no certificate", *ca)
	}
	pair, err := tls.LoadX509KeyPair(*cert, *key)
	if err != nil {
		log.Fatal(err)
	}
	p, err := newProxy(*upstream, roots)
	if err != nil {
		log.Fatal(err)
	}
	front, back := listen(*address), listen(*control)
	fmt.Printf("proxy=%s control=%s\n", front.Addr(), back.Addr())
	go func() { log.Fatal(http.Serve(back, p.control())) }()
	log.Fatal(p.server(pair).ServeTLS(front, "", ""))
}
