module clients/docker-machine

go 1.24.0

require (
	github.com/codegangsta/cli v1.11.1-0.20151120215642-0302d3914d2a
	github.com/docker/machine v0.16.2
)

require (
	github.com/Azure/go-ansiterm v0.0.0-20261006220739-8c912ac31dd4 // indirect
	github.com/bitly/go-simplejson v0.5.1 // indirect
	github.com/bugsnag/bugsnag-go v1.0.6-0.20151120182711-02e952891c52 // indirect
	github.com/bugsnag/osext v0.0.0-20130617224835-0dd3f918b21b // indirect
	github.com/bugsnag/panicwrap v0.0.0-20151223152923-e2c28503fcd0 // indirect
	github.com/docker/docker v17.12.0-ce-rc1.0.20180621001606-093424bec097+incompatible // indirect
	github.com/docker/go-units v0.5.0 // indirect
	github.com/google/go-cmp v0.7.0 // indirect
	github.com/gorilla/mux v1.8.1 // indirect
	github.com/juju/loggo v1.0.0 // indirect
	github.com/pkg/errors v0.9.1 // indirect
	github.com/samalba/dockerclient v0.0.0-20160531175551-a30362618471 // indirect
	github.com/sirupsen/logrus v1.10.2 // indirect
	github.com/skarademir/naturalsort v0.0.0-20150715044055-69a5d87bef62 // indirect
	golang.org/x/crypto v0.42.0 // indirect
	golang.org/x/sys v0.36.0 // indirect
	golang.org/x/term v0.35.0 // indirect
	gotest.tools v2.2.0+incompatible // indirect
)
