// The sample application of the real nodes, and their pause container: "app pause" waits for SIGTERM. "app ask" is a client that measures.
// Same behaviour as test/cluster/simulated/application.ts.
//
// Environment: PORTS ("8080", a comma list), UDP_PORTS ("": where it sends back what comes; the containers only), STARTUP_SECONDS ("2": listens so long after its start), POD_NAME (default: the host name),
// GRACEFUL ("true": finishes running requests after SIGTERM; otherwise it ends at once and resets them).
package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A load balancer or a client closes idle connections, never the application: it would cut a request that is on its way.
const keepAlive = 75 * time.Second

func setting(name, preset string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return preset
}

func main() {
	// As PID 1 of its container it gets no signal that it does not ask for.
	terminated := make(chan os.Signal, 1)
	signal.Notify(terminated, syscall.SIGTERM, syscall.SIGINT)
	if len(os.Args) > 1 && os.Args[1] == "pause" {
		<-terminated
		return
	}
	if len(os.Args) > 2 && os.Args[1] == "ask" {
		ask(os.Args[2])
		return
	}
	hostname, _ := os.Hostname()
	pod := setting("POD_NAME", hostname)
	seconds, err := strconv.ParseFloat(setting("STARTUP_SECONDS", "2"), 64)
	if err != nil {
		fail("STARTUP_SECONDS=%s: use a number of seconds, e.g. 2", os.Getenv("STARTUP_SECONDS"))
	}
	select {
	case <-terminated:
		return
	case <-time.After(time.Duration(seconds * float64(time.Second))):
	}
	servers := serve(pod, strings.Split(setting("PORTS", "8080"), ","))
	if ports := setting("UDP_PORTS", ""); ports != "" {
		echo(strings.Split(ports, ","))
	}
	<-terminated
	if setting("GRACEFUL", "false") != "true" {
		return
	}
	for _, server := range servers {
		_ = server.Shutdown(context.Background()) // the kubelet ends it by SIGKILL when the grace period is over
	}
}

func serve(pod string, ports []string) []*http.Server {
	answer := http.HandlerFunc(func(response http.ResponseWriter, request *http.Request) {
		source, _, _ := net.SplitHostPort(request.RemoteAddr)
		response.Header().Set("content-type", "text/plain")
		response.Header().Set("x-pod", pod)
		response.Header().Set("x-source", source)
		fmt.Fprintln(response, pod)
	})
	var servers []*http.Server
	for _, port := range ports {
		listener, err := net.Listen("tcp", ":"+strings.TrimSpace(port))
		if err != nil {
			fail("PORTS: %v", err)
		}
		server := &http.Server{Handler: answer, IdleTimeout: keepAlive}
		servers = append(servers, server)
		go func() { _ = server.Serve(listener) }()
	}
	return servers
}

func echo(ports []string) {
	for _, port := range ports {
		socket, err := net.ListenPacket("udp", ":"+strings.TrimSpace(port))
		if err != nil {
			fail("UDP_PORTS: %v", err)
		}
		go func() {
			buffer := make([]byte, 1500)
			for {
				length, from, err := socket.ReadFrom(buffer)
				if err != nil {
					return
				}
				_, _ = socket.WriteTo(buffer[:length], from)
			}
		}()
	}
}

func fail(format string, values ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", values...)
	os.Exit(1)
}
