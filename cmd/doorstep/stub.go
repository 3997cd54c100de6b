package main

import "github.com/spf13/cobra"

func (a *app) importStoresCommand() *cobra.Command { return &cobra.Command{Use: "stores"} }
func (a *app) importDemandCommand() *cobra.Command { return &cobra.Command{Use: "demand"} }
func (a *app) campaignCommands() *cobra.Command    { return &cobra.Command{Use: "campaign"} }
func (a *app) jobListCommand() *cobra.Command      { return &cobra.Command{Use: "list"} }
func (a *app) jobRunCommand() *cobra.Command       { return &cobra.Command{Use: "run"} }
func (a *app) backupCommand() *cobra.Command       { return &cobra.Command{Use: "backup"} }
func (a *app) restoreCommand() *cobra.Command      { return &cobra.Command{Use: "restore"} }
func (a *app) doctorCommand() *cobra.Command       { return &cobra.Command{Use: "doctor"} }
