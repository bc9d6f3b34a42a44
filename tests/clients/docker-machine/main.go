// Command docker-machine is docker-machine 0.16.2: the genuine commands, libmachine and plugin protocol of that version,
// without the drivers of other clouds that it has built in.
package main

import (
	"fmt"
	"os"
	"strconv"

	"github.com/codegangsta/cli"
	"github.com/docker/machine/commands"
	"github.com/docker/machine/commands/mcndirs"
	"github.com/docker/machine/drivers/none"
	"github.com/docker/machine/libmachine/drivers/plugin"
	"github.com/docker/machine/libmachine/drivers/plugin/localbinary"
	"github.com/docker/machine/libmachine/log"
	"github.com/docker/machine/version"
)

func main() {
	if os.Getenv(localbinary.PluginEnvKey) == localbinary.PluginEnvVal {
		plugin.RegisterDriver(none.NewDriver("", ""))
		return
	}
	localbinary.CurrentBinaryIsDockerMachine = true

	debug, _ := strconv.ParseBool(os.Getenv("MACHINE_DEBUG"))
	for _, arg := range os.Args {
		debug = debug || arg == "-D" || arg == "--debug"
	}
	log.SetDebug(debug)

	text := func(name, variable, value string) cli.Flag {
		return cli.StringFlag{Name: name, EnvVar: variable, Value: value}
	}
	app := cli.NewApp()
	app.Name = "docker-machine"
	app.Version = version.FullVersion()
	app.Commands = commands.Commands
	app.CommandNotFound = func(c *cli.Context, command string) {
		fmt.Fprintf(os.Stderr, "there is no command %q\n", command)
		os.Exit(1)
	}
	app.Flags = []cli.Flag{
		cli.BoolFlag{Name: "debug, D"},
		text("storage-path, s", "MACHINE_STORAGE_PATH", mcndirs.GetBaseDir()),
		text("tls-ca-cert", "MACHINE_TLS_CA_CERT", ""),
		text("tls-ca-key", "MACHINE_TLS_CA_KEY", ""),
		text("tls-client-cert", "MACHINE_TLS_CLIENT_CERT", ""),
		text("tls-client-key", "MACHINE_TLS_CLIENT_KEY", ""),
		text("github-api-token", "MACHINE_GITHUB_API_TOKEN", ""),
		cli.BoolFlag{Name: "native-ssh", EnvVar: "MACHINE_NATIVE_SSH"},
		text("bugsnag-api-token", "MACHINE_BUGSNAG_API_TOKEN", ""),
	}
	if err := app.Run(os.Args); err != nil {
		log.Error(err)
		os.Exit(1)
	}
}
