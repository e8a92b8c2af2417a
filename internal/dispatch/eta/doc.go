// Package eta tells how far tasks are: their progress, their position in the queue, and
// when they will probably end. It learns from how long past tasks took, and it decides
// nothing: what it says is shown to customers and paces the polls.
package eta
