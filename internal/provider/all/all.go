// Package all lists the providers, one line each. app chooses an upstream's
// provider from it by name; dispatch never sees it. There is no registration: a
// provider that is not in the list does not exist.
package all

import (
	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/provider/animatic"
	"github.com/unireel/unireel/internal/provider/dashscope"
	"github.com/unireel/unireel/internal/provider/fal"
	"github.com/unireel/unireel/internal/provider/openai"
	"github.com/unireel/unireel/internal/provider/uniall"
	"github.com/unireel/unireel/internal/provider/wavespeed"
)

// Drivers returns all providers.
func Drivers() []provider.Driver {
	return []provider.Driver{
		animatic.Driver(),
		dashscope.Driver(),
		fal.Driver(),
		openai.Driver(),
		uniall.Driver(),
		wavespeed.Driver(),
	}
}
