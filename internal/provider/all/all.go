// Package all lists the providers: one line each. config and app choose an
// upstream's kind from it by name; dispatch never sees it. There is no
// registration: what is not written here does not exist.
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

// Kinds are all providers.
func Kinds() []provider.Kind {
	return []provider.Kind{
		animatic.Kind(),
		dashscope.Kind(),
		fal.Kind(),
		openai.Kind(),
		uniall.Kind(),
		wavespeed.Kind(),
	}
}
